"""The networks against the code they shorten, and the graph's box arithmetic against masks."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import timm
import torch
from segment_anything.modeling.common import LayerNorm2d
from torch import nn

from models.letterbox import Letterbox
from models.masks.drawing import mask_box
from models.nets.backbone import MEAN_RGB, ChannelNorm, create_backbone, normalise_image, pack_embedding
from models.nets.compact_sam import CompactSam, build_compact_sam
from models.nets.graphs import SamDecoderGraph, extents
from models.nets.many_prompts import decode_many, embed_points
from models.nets.mask_extent import profile_extent
from models.nets.wsod import RoiHead, build_wsod, pool_rois
from tests.bench.segmenter.reference import sam_predictor
from tests.support.segmenters.reference_decoder import decode_prompts
from weaksam.errors import UserError

SIDE = 64


@pytest.fixture(scope="module")
def sam() -> CompactSam:
    torch.manual_seed(0)
    return build_compact_sam("mobilenetv2_100", SIDE).eval()


COORDS = torch.tensor([[[9.0, 30.0], [0.0, 0.0]], [[4.0, 6.0], [40.0, 50.0]], [[1.0, 2.0], [3.0, 4.0]]])
LABELS = torch.tensor([[1.0, -1.0], [2.0, 3.0], [1.0, 0.0]])


def test_points_are_embedded_as_segment_anything_embeds_them(sam: CompactSam) -> None:
    encoder = sam.prompt_encoder
    found = embed_points(encoder, COORDS, LABELS)
    points = [0, 2]
    torch.testing.assert_close(found[points], encoder._embed_points(COORDS[points], LABELS[points], pad=False))
    torch.testing.assert_close(found[1:2], encoder._embed_boxes(COORDS[1:2].reshape(1, 4)))


def test_many_prompts_at_once_equal_the_published_decoder_one_by_one(sam: CompactSam) -> None:
    embedding = torch.randn(1, 128, SIDE // 8, SIDE // 8)
    with torch.no_grad():
        logits, iou = decode_prompts(sam.prompt_encoder, sam.mask_decoder, embedding, COORDS, LABELS)
        for i in range(len(COORDS)):
            expected_logits, expected_iou = sam.mask_decoder(
                image_embeddings=embedding,
                image_pe=sam.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=embed_points(sam.prompt_encoder, COORDS[i : i + 1], LABELS[i : i + 1]),
                dense_prompt_embeddings=sam.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1),
                multimask_output=True,
            )
            torch.testing.assert_close(logits[i : i + 1], expected_logits, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(iou[i : i + 1], expected_iou, rtol=1e-4, atol=1e-5)


def test_fine_maps_start_without_any_say_and_get_one(sam: CompactSam) -> None:
    torch.manual_seed(1)
    picture = torch.randint(0, 256, (1, SIDE, SIDE, 3), dtype=torch.uint8)
    net = deepcopy(sam)
    with torch.no_grad():
        packed = net.encode(picture)
        plain = decode_many(net.prompt_encoder, net.mask_decoder, packed[:, :128], COORDS, LABELS)[0]
        torch.testing.assert_close(decode_many(net.prompt_encoder, net.mask_decoder, packed, COORDS, LABELS)[0], plain)
        for fine_map in (net.image_encoder.stride_4, net.image_encoder.stride_2):
            nn.init.normal_(fine_map.out.weight)
            fine = decode_many(net.prompt_encoder, net.mask_decoder, net.encode(picture), COORDS, LABELS)[0]
            assert (fine - plain).abs().max() > 0.01
            plain = fine


def test_channel_norm_equals_the_published_one() -> None:
    torch.manual_seed(3)
    norm, published = ChannelNorm(24), LayerNorm2d(24)
    with torch.no_grad():
        norm.weight.normal_()
        norm.bias.normal_()
        published.load_state_dict(norm.state_dict())
        maps = 5 + 3 * torch.randn(2, 24, 8, 12)
        torch.testing.assert_close(norm(maps), published(maps), rtol=1e-4, atol=1e-5)


def test_a_fine_map_is_seen_where_it_was_drawn(sam: CompactSam) -> None:
    """A change of one pixel of stride 2 changes the mask logits of that pixel alone."""
    embedding = torch.randn(1, 128, SIDE // 8, SIDE // 8)
    fine_4, fine_2 = torch.zeros(1, 32, SIDE // 4, SIDE // 4), torch.zeros(1, 16, SIDE // 2, SIDE // 2)
    changed = fine_2.clone()
    changed[0, :, 21, 10] = 5.0
    with torch.no_grad():
        before, after = (
            decode_many(
                sam.prompt_encoder,
                sam.mask_decoder,
                pack_embedding(embedding, fine_4, fine),
                COORDS,
                LABELS,
            )[0]
            for fine in (fine_2, changed)
        )
    moved = ((before - after).abs() > 1e-4).any(dim=1)
    assert moved[:, 21, 10].all()
    assert moved.sum() == len(COORDS)


def test_the_published_predictor_answers_alike_with_fine_maps(sam: CompactSam) -> None:
    torch.manual_seed(2)
    net = deepcopy(sam)
    for fine_map in (net.image_encoder.stride_4, net.image_encoder.stride_2):
        nn.init.normal_(fine_map.out.weight)
    picture = torch.randint(0, 256, (SIDE, SIDE, 3), dtype=torch.uint8)
    predictor = sam_predictor(net)
    predictor.set_image(picture.numpy())
    _, iou, logits = predictor.predict(np.array([[9.0, 30.0]]), np.array([1]), multimask_output=True)
    with torch.no_grad():
        found = decode_many(net.prompt_encoder, net.mask_decoder, net.encode(picture[None]), COORDS[:1], LABELS[:1])
    np.testing.assert_allclose(logits, found[0][0], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(iou, found[1][0], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("channels", [pytest.param(128, id="plain"), pytest.param(512, id="fine")])
@pytest.mark.parametrize("points", [1, 2, 5])
@pytest.mark.parametrize("prompts", [1, 6])
def test_the_arrangement_for_serving_answers_alike(sam: CompactSam, prompts: int, points: int, channels: int) -> None:
    generator = torch.Generator().manual_seed(prompts * 10 + points)
    embedding = torch.randn(1, channels, SIDE // 8, SIDE // 8, generator=generator)
    coords = torch.rand(prompts, points, 2, generator=generator) * SIDE
    labels = torch.randint(-1, 4, (prompts, points), generator=generator).float()
    with torch.no_grad():
        expected = decode_prompts(sam.prompt_encoder, sam.mask_decoder, embedding, coords, labels)
        found = decode_many(sam.prompt_encoder, sam.mask_decoder, embedding, coords, labels)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_the_fill_colour_normalises_to_zero() -> None:
    assert (normalise_image(torch.tensor(MEAN_RGB, dtype=torch.uint8).expand(1, 2, 2, 3)) == 0).all()


def test_backbone_weights_of_another_network_are_refused(tmp_path: object) -> None:
    from safetensors.torch import save_file

    path = f"{tmp_path}/other.safetensors"
    save_file({"conv.weight": torch.zeros(3)}, path)
    with pytest.raises(UserError, match=r"is not of the backbone mobilenetv2_100: \d+ tensors are missing, .* give"):
        create_backbone("mobilenetv2_100", path)


def test_weights_of_another_width_are_refused(tmp_path: object) -> None:
    from safetensors.torch import save_file

    path = f"{tmp_path}/narrow.safetensors"
    save_file(timm.create_model("mobilenetv2_050").state_dict(), path)
    with pytest.raises(UserError, match="is not of the backbone mobilenetv2_100: .* another shape, conv_stem.weight"):
        create_backbone("mobilenetv2_100", path)


def test_a_backbone_that_timm_does_not_know_is_named_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"timm knows no model 'mobilnetv2_100' \(nearest: mobilenetv2_100"):
        create_backbone("mobilnetv2_100")


def test_all_six_stages_of_the_shared_backbone_load(backbone_weights_path: object) -> None:
    loaded = create_backbone("mobilenetv2_100", str(backbone_weights_path))
    untrained = create_backbone("mobilenetv2_100")
    pairs = list(zip(loaded.parameters(), untrained.parameters(), strict=True))
    assert sum(not torch.equal(a, b) for a, b in pairs) >= 0.95 * len(pairs)


def disc(side: int, centre_xy: tuple[float, float], radius: float) -> torch.Tensor:
    ys, xs = np.mgrid[:side, :side] + 0.5
    return torch.from_numpy((radius - np.hypot(xs - centre_xy[0], ys - centre_xy[1])).astype(np.float32))


@pytest.mark.parametrize("centre_xy", [(16.0, 16.0), (15.3, 17.8), (12.1, 20.6)])
def test_the_graph_finds_box_edges_between_cells(centre_xy: tuple[float, float]) -> None:
    logits = disc(32, centre_xy, 5.0)[None, None]
    start, end = profile_extent(logits.amax(dim=2), 2.0, torch.tensor(64.0))
    assert start.item() == pytest.approx(2 * (centre_xy[0] - 5), abs=0.3)
    assert end.item() == pytest.approx(2 * (centre_xy[0] + 5), abs=0.3)


def test_boxes_of_the_graph_agree_with_the_masks_of_the_picture() -> None:
    logits = disc(160, (61.3, 80.2), 17.7)
    letterbox = Letterbox((600, 600), 320)
    box = mask_box(letterbox.mask_to_image(logits.numpy()))
    x0, x1 = profile_extent(logits[None, None].amax(dim=2), 2.0, torch.tensor(320.0))
    y0, y1 = profile_extent(logits[None, None].amax(dim=3), 2.0, torch.tensor(320.0))
    graph_box = letterbox.boxes_to_image(np.array([[x0, y0, x1, y1]], np.float32))[0]
    np.testing.assert_allclose(graph_box, box, atol=1.0)


def test_a_speck_apart_from_the_object_does_not_move_its_box() -> None:
    whole = disc(32, (16.0, 16.0), 5.0)[None, None]
    speckled = whole.clone()
    speckled[..., 3, 29] = 0.5
    for axis in (2, 3):
        before = profile_extent(whole.amax(dim=axis), 2.0, torch.tensor(64.0))
        after = profile_extent(speckled.amax(dim=axis), 2.0, torch.tensor(64.0))
        assert [edge.item() for edge in after] == [edge.item() for edge in before]


@pytest.mark.parametrize(
    ("columns", "valid", "extent"),
    [
        pytest.param(slice(0, 4), 64.0, (0.0, 7.98), id="reaches the left border"),
        pytest.param(slice(10, 32), 64.0, (20.02, 64.0), id="reaches the right border"),
        pytest.param(slice(10, 20), 40.0, (20.02, 40.0), id="reaches the padding"),
        pytest.param(slice(0, 0), 64.0, (0.0, 0.0), id="empty"),
    ],
)
def test_extents_at_borders(columns: slice, valid: float, extent: tuple[float, float]) -> None:
    profile = torch.full((1, 1, 32), -1.0)
    profile[..., columns] = 1.0
    profile[..., int(valid / 2) :] = -32.0
    start, end = profile_extent(profile, 2.0, torch.tensor(valid))
    assert (start.item(), end.item()) == pytest.approx(extent, abs=1.1)
    assert end.item() <= valid


def test_padding_is_never_part_of_a_box(sam: CompactSam) -> None:
    graph = SamDecoderGraph(sam.prompt_encoder, sam.mask_decoder, SIDE)
    with torch.no_grad():
        embedding = torch.randn(1, 128, SIDE // 8, SIDE // 8)
        boxes, _, stability, logits = graph(embedding, COORDS, LABELS, torch.tensor([40.0, 24.0]))
    assert (boxes[..., 2] <= 24).all()
    assert (boxes[..., 3] <= 40).all()
    assert ((stability >= 0) & (stability <= 1)).all()
    assert logits.dtype == torch.float16
    assert logits.shape == (3, 3, SIDE // 2, SIDE // 2)


def test_pooling_before_or_after_the_reduction_is_the_same() -> None:
    torch.manual_seed(0)
    head = RoiHead(channels=16, classes=3).eval()
    features = torch.randn(1, 16, 8, 8)
    rois = torch.tensor([[0, 3.0, 4.0, 40.0, 60.0], [0, 0.0, 0.0, 64.0, 64.0], [0, 20.0, 20.0, 23.0, 22.0]])
    torch.testing.assert_close(head.embed(features, rois), head.embed_pooled(pool_rois(features, rois)))


def test_scores_of_a_proposal_do_not_depend_on_its_company() -> None:
    torch.manual_seed(0)
    net = build_wsod("mobilenetv2_100", classes=3).eval()
    boxes = torch.tensor([[[3.0, 4.0, 40.0, 60.0], [10.0, 10.0, 30.0, 30.0]]])
    features = torch.randn(1, 128, 8, 8)
    with torch.no_grad():
        both, _ = net.score(features, boxes)
        alone, _ = net.score(features, boxes[:, 1:])
    torch.testing.assert_close(both[:, 1:], alone)


@pytest.mark.parametrize("fine", [True, False])
def test_logits_at_half_the_side_are_every_second_row_and_column(fine: bool) -> None:
    net = build_compact_sam("mobilenetv2_100", 64).eval()
    with torch.inference_mode():
        packed = torch.randn(1, 512 if fine else 128, 8, 8)
        whole, iou = decode_many(net.prompt_encoder, net.mask_decoder, packed, COORDS, LABELS)
        half, same_iou = decode_many(net.prompt_encoder, net.mask_decoder, packed, COORDS, LABELS, half=True)
    torch.testing.assert_close(half, whole[:, :, ::2, ::2])
    torch.testing.assert_close(same_iou, iou)


def test_a_disc_has_the_same_box_and_stability_at_half_the_side() -> None:
    y, x = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    logits = (15.3 - ((x - 30.2) ** 2 + (y - 33.7) ** 2).sqrt())[None, None]
    valid_hw = torch.tensor([128.0, 128.0])
    boxes, stability = extents(logits, 2.0, valid_hw)
    half_boxes, half_stability = extents(logits[:, :, ::2, ::2], 4.0, valid_hw, centre=0.25)
    torch.testing.assert_close(boxes[0, 0], 2 * torch.tensor([14.9, 18.4, 45.5, 49.0]), atol=0.1, rtol=0)
    torch.testing.assert_close(half_boxes, boxes, atol=0.5, rtol=0)
    torch.testing.assert_close(half_stability, stability, atol=0.01, rtol=0)
