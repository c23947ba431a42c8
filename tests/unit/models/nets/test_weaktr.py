"""WeakTr: shapes, what teaches what, and that the fusion looks at the picture. On a ViT of 6 blocks and 2 heads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from models.nets.cam import CnnCam
from models.nets.cam_nets import AveragedCam, build_cam, build_cam_of_run
from models.nets.cam_settings import WeakTrSettings
from models.nets.weaktr import AttentionFusion, WeakTr, build_weaktr, resize_positions
from weaksam.errors import UserError

VIT, SIDE, CLASSES = "test_vit", 64, 5
SETTINGS = WeakTrSettings(cross_blocks=(3, 5))


def pictures(count: int, side: int = SIDE) -> torch.Tensor:
    """Two halves of different brightness each, no two pictures alike."""
    generator = torch.Generator().manual_seed(count)
    halves = torch.randint(0, 256, (count, 1, 2, 1, 3), generator=generator)
    return halves.expand(count, side, 2, side // 2, 3).reshape(count, side, side, 3).to(torch.uint8)


@pytest.fixture
def net() -> Any:  # parts of a network have no types of their own
    torch.manual_seed(0)
    return build_weaktr(VIT, CLASSES, SIDE, SETTINGS)


def test_class_tokens_see_the_picture_and_learn_from_the_first_step(net: Any) -> None:
    logits = net(pictures(2)).class_logits
    assert (logits[0] - logits[1]).abs().min() > 1e-4
    logits.sum().backward()
    assert net.class_tokens.grad.abs().max() > 1e-3


@pytest.mark.parametrize("side", [64, 96])
def test_every_map_has_a_cell_for_each_patch(net: Any, side: int) -> None:
    cells = side // 16
    output = net(pictures(2, side))
    assert output.class_logits.shape == (2, CLASSES)
    assert output.coarse.shape == output.fine.shape == (2, CLASSES, cells, cells)
    assert [maps.shape for maps in output.cross] == [(2, 2, CLASSES, cells, cells)] * 2
    logits, maps = net.tag_maps(pictures(2, side))
    assert logits.shape == (2, CLASSES)
    assert net.map_kinds == ("coarse", "fine", "cross_3_0", "cross_3_1", "cross_5_0", "cross_5_1")
    assert maps.shape == (2, len(net.map_kinds), CLASSES, cells, cells)


def test_maps_are_what_the_equations_say(net: Any) -> None:
    """Fine maps recomputed position by position from the attention that hooks of our own caught."""
    seen: list[torch.Tensor] = []
    for block in net.blocks:
        block.attn.attn_drop.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    weights: list[torch.Tensor] = []
    net.fusion.register_forward_hook(lambda module, inputs, output: weights.append(output))
    output = net(pictures(1))
    fused = sum(weights[0][0, 2 * layer + head] * seen[layer][0, head] for layer in range(6) for head in range(2))
    assert isinstance(fused, torch.Tensor)
    coarse = output.coarse[0].flatten(1).clamp(min=0)
    for label in (0, 4):
        picked = fused[label, CLASSES:] * coarse[label]
        expected = fused[CLASSES:, CLASSES:] @ picked
        torch.testing.assert_close(output.fine[0, label].flatten(), expected)
    head_1_of_block_5 = seen[5][0, 1, 2, CLASSES:].reshape(4, 4)
    torch.testing.assert_close(net.tag_maps(pictures(1))[1][0, 5, 2], head_1_of_block_5)


def test_the_fine_maps_teach_the_fusion_and_nothing_that_made_attention_or_coarse_maps(net: Any) -> None:
    net(pictures(2)).fine.sum().backward()
    assert net.fusion.excite[0].weight.grad.abs().max() > 0
    assert net.head.weight.grad is None, "coarse maps are detached"
    # With the fusion's weights held still nothing is left that could learn: attention is detached too.
    net.fusion.register_forward_hook(lambda module, inputs, output: output.detach())
    assert not net(pictures(2)).fine.requires_grad


@pytest.mark.parametrize("branch", ["class_logits", "coarse"])
def test_the_other_branches_teach_the_backbone_and_not_the_fusion(net: Any, branch: str) -> None:
    getattr(net(pictures(2)), branch)[:, 1].sum().backward()
    assert net.fusion.excite[0].weight.grad is None
    assert net.blocks[0].attn.qkv.weight.grad.abs().max() > 0
    assert net.class_tokens.grad is not None
    assert net.class_tokens.grad.abs().max() > 0
    assert (net.head.weight.grad is None) == (branch == "class_logits")


def test_the_fusion_weighs_heads_by_the_picture(net: Any) -> None:
    weights: list[torch.Tensor] = []
    net.fusion.register_forward_hook(lambda module, inputs, output: weights.append(output))
    net(pictures(2))
    [[first, second]] = weights
    assert first.shape == (12,)
    assert ((first > 0) & (first < 1)).all()
    assert (first - second).abs().max() > 1e-4
    # what pooled attention would give: the mean of a softmax's rows, the same for every picture and head
    attention = torch.rand(2, 2, 9, 9).softmax(dim=-1)
    assert attention.mean(dim=(2, 3)) == pytest.approx(torch.full((2, 2), 1 / 9))


def test_the_fusion_reads_each_heads_own_features() -> None:
    torch.manual_seed(0)
    fusion = AttentionFusion(4, 2)
    features = [torch.zeros(1, 9, 2, 8), torch.zeros(1, 9, 2, 8)]
    before = fusion(features)
    features[1][:, :, 0] = 1.0
    squeezed = torch.tensor([[0.0, 0, 1, 0]])
    torch.testing.assert_close(fusion(features), fusion.excite(squeezed))
    assert not torch.allclose(before, fusion(features))


def test_positions_follow_the_size_of_the_picture() -> None:
    positions = torch.linspace(0, 1, 4).reshape(1, 1, 1, 4).expand(1, 1, 4, 4)
    assert resize_positions(positions, 4, 4) is positions
    wide = resize_positions(positions, 2, 8)
    assert wide.shape == (1, 1, 2, 8)
    assert (wide[0, 0, :, 1:] > wide[0, 0, :, :-1]).all(), "still rising from left to right"


def test_a_checkpoint_of_the_vit_is_taken_over(tmp_path: Path) -> None:
    vit: Any = timm.create_model(VIT)
    save_file({key: value.half() for key, value in vit.state_dict().items()}, tmp_path / "vit.safetensors")
    torch.manual_seed(0)
    net: Any = build_weaktr(VIT, CLASSES, 160, SETTINGS, str(tmp_path / "vit.safetensors"))
    torch.testing.assert_close(
        net.blocks[2].mlp.fc1.weight, vit.blocks[2].mlp.fc1.weight.detach().half().float(), check_device=False
    )
    of_patches = net.positions.flatten(2).transpose(1, 2)
    torch.testing.assert_close(of_patches, vit.pos_embed[:, 1:].half().float(), msg="160 px is the ViT's own size")
    token = (vit.cls_token + vit.pos_embed[:, :1]).detach()
    assert (net.class_tokens - token).abs().max() < 0.2, "each class begins near the one class token there was"
    assert len({tuple(token) for token in net.class_tokens[0].tolist()}) == CLASSES
    with pytest.raises(UserError, match="is not of the backbone vit_tiny_patch16_224"):
        build_weaktr("vit_tiny_patch16_224", CLASSES, 64, SETTINGS, str(tmp_path / "vit.safetensors"))


@pytest.mark.parametrize(
    ("backbone", "side", "blocks", "message"),
    [
        pytest.param("resnet18", 64, (3,), "'resnet18' is no plain vision transformer: take", id="a CNN"),
        pytest.param("deit_tiny_distilled_patch16_224", 64, (3,), "is no plain vision transformer", id="two tokens"),
        pytest.param("vitt", 64, (3,), "'vitt' is not known to timm", id="unknown"),
        pytest.param(VIT, 70, (3,), "side_px is 70: test_vit takes multiples of 16", id="side"),
        pytest.param(VIT, 64, (6,), r"cross_blocks is \[6\]: test_vit has blocks 0 to 5", id="block"),
    ],
)
def test_what_does_not_fit_is_named(backbone: str, side: int, blocks: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_weaktr(backbone, CLASSES, side, WeakTrSettings(cross_blocks=blocks))


def test_a_run_made_before_weaktr_is_a_cnn() -> None:
    config = {"backbone": "mobilenetv2_100", "side_px": 64}
    assert isinstance(build_cam_of_run(config, CLASSES), CnnCam)
    config |= {"architecture": "weaktr", "backbone": VIT, "weaktr": {"cross_blocks": [1]}}
    assert build_cam_of_run(config, CLASSES).map_kinds == ("coarse", "fine", "cross_1_0", "cross_1_1")


class BrightCells(torch.nn.Module):
    """A classifier whose one map is the mean brightness of 16 px cells."""

    stride_px = side_multiple_px = 16

    def tag_maps(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures [B,S,S,3] to logits [B,1] and maps [B,1,1,S/16,S/16]."""
        cells = torch.nn.functional.avg_pool2d(image.float().mean(dim=3)[:, None], 16)
        return cells.amax(dim=(2, 3)), cells[:, None]


def test_averaged_maps_lie_where_the_unscaled_ones_do() -> None:
    image = torch.zeros(1, 160, 160, 3, dtype=torch.uint8)
    image[:, 32:64, 96:128] = 255  # rows 2 and 3, columns 6 and 7
    averaged = AveragedCam(BrightCells(), 160, (1.0, 0.8, 1.2), flip=True)  # type: ignore[arg-type]
    assert averaged.sides_px == [160, 128, 192]
    _, maps = averaged.tag_maps(image)
    assert maps.shape == (1, 1, 1, 10, 10)
    inside, total = maps[0, 0, 0, 2:4, 6:8].sum(), maps.sum()
    assert inside > 0.75 * total
    ys, xs = torch.meshgrid(torch.arange(10.0), torch.arange(10.0), indexing="ij")
    centre = [(maps[0, 0, 0] * axis).sum() / total for axis in (xs, ys)]
    assert torch.stack(centre).tolist() == pytest.approx([6.5, 2.5], abs=0.05)


def test_flips_alone_leave_a_symmetric_networks_maps_as_they_are() -> None:
    image = torch.randint(0, 256, (1, 160, 160, 3), dtype=torch.uint8)
    cells = BrightCells()
    averaged = AveragedCam(cells, 160, (1.0,), flip=True)  # type: ignore[arg-type]
    torch.testing.assert_close(averaged.tag_maps(image)[1], cells.tag_maps(image)[1])


def test_averaging_keeps_the_kinds_of_maps(net: Any) -> None:
    net.eval()
    averaged = AveragedCam(net, SIDE, (1.0, 1.5), flip=True)
    with torch.no_grad():
        logits, maps = averaged.tag_maps(pictures(1))
        mirrored = net.tag_maps(pictures(1).flip(2))
        views = [net.tag_maps(pictures(1)), (mirrored[0], mirrored[1].flip(4))]
        alone = AveragedCam(net, SIDE, (1.0,), flip=True).tag_maps(pictures(1))
    assert logits.shape == (1, CLASSES)
    assert maps.shape == (1, len(net.map_kinds), CLASSES, 4, 4)
    torch.testing.assert_close(alone[1], (views[0][1] + views[1][1]) / 2)
    assert not torch.allclose(maps, alone[1])


def test_architectures_are_built_by_name() -> None:
    assert isinstance(build_cam("weaktr", VIT, CLASSES, SIDE, SETTINGS), WeakTr)
    assert isinstance(build_cam("cnn", "mobilenetv2_100", CLASSES, SIDE, SETTINGS), CnnCam)
