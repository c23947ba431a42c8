"""SAM 2 and EdgeTAM: layouts of checkpoints, and the outputs of Hugging Face's networks with the same weights."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from models.nets.backbone import pack_embedding
from models.nets.checkpoint_files import CheckpointError
from models.nets.many_prompts import decode_many
from models.nets.published_sam.open_published import open_published
from models.nets.published_sam.parts import FILL_RGB, PIXEL_MEAN, PIXEL_STD
from models.nets.published_sam.sam2 import TRUNKS, Sam2, load_sam2, sam2_kind
from tests.support.segmenters.sam2 import official_state, random_sam2, reference_of, write_sam2

SIDE_PX = 128


@pytest.fixture(scope="module", params=["edgetam", "sam2-tiny"])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def net(kind: str) -> Sam2:
    return random_sam2(kind, SIDE_PX)


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    rng = np.random.default_rng(3)
    return torch.from_numpy(rng.integers(0, 256, (1, SIDE_PX, SIDE_PX, 3), np.uint8))


def test_the_official_names_are_those_of_the_published_file(net: Sam2, kind: str) -> None:
    """A few of each part, as the modules of facebookresearch/EdgeTAM and facebookresearch/sam2 name them."""
    encoder = {
        "edgetam": {"image_encoder.trunk.body.stem.conv1.c.weight"},
        "sam2-tiny": {
            "image_encoder.trunk.pos_embed_window",
            "image_encoder.trunk.patch_embed.proj.weight",
            "image_encoder.trunk.blocks.1.norm1.bias",
            "image_encoder.trunk.blocks.1.proj.weight",
            "image_encoder.trunk.blocks.11.attn.qkv.weight",
            "image_encoder.trunk.blocks.11.mlp.layers.1.bias",
        },
    }
    assert official_state(net).keys() >= encoder[kind] | {
        "image_encoder.neck.convs.3.conv.weight",
        "no_mem_embed",
        "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
        "sam_prompt_encoder.point_embeddings.3.weight",
        "sam_prompt_encoder.mask_downscaling.6.weight",
        "sam_mask_decoder.obj_score_token.weight",
        "sam_mask_decoder.conv_s0.weight",
        "sam_mask_decoder.transformer.layers.1.mlp.layers.1.bias",
        "sam_mask_decoder.transformer.norm_final_attn.weight",
        "sam_mask_decoder.output_upscaling.3.weight",
        "sam_mask_decoder.output_hypernetworks_mlps.3.layers.2.weight",
        "sam_mask_decoder.iou_prediction_head.layers.0.weight",
    }


@pytest.mark.parametrize("kind", TRUNKS)
def test_every_size_is_recognised_by_its_tensors(kind: str) -> None:
    with torch.device("meta"):
        assert sam2_kind(official_state(Sam2(kind))) == kind


def test_a_checkpoint_is_read_whole(net: Sam2, kind: str, tmp_path: Path) -> None:
    opened = open_published(write_sam2(tmp_path / "x.pt", net), SIDE_PX)
    assert opened.kind == kind
    for name, tensor in net.state_dict().items():
        assert torch.equal(opened.net.state_dict()[name], tensor), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"no_mem_embed": None}, r"missing: image_encoder\.no_memory", id="missing"),
        pytest.param({"sam_mask_decoder.more": torch.zeros(1)}, r"unknown: mask_decoder\.more", id="surplus"),
        pytest.param({"no_mem_embed": torch.zeros(1, 1, 8)}, r"another shape: image_encoder\.no_m", id="another shape"),
    ],
)
def test_a_checkpoint_of_another_network_is_refused(
    net: Sam2, kind: str, change: dict[str, torch.Tensor | None], message: str
) -> None:
    state = {key: tensor for key, tensor in {**official_state(net), **change}.items() if tensor is not None}
    with pytest.raises(CheckpointError, match=rf"x\.pt differs from {re.escape(TRUNKS[kind].title)} .*{message}"):
        load_sam2(state, kind, Path("x.pt"), SIDE_PX)


def test_a_side_that_does_not_suit_is_refused(net: Sam2, kind: str) -> None:
    with pytest.raises(CheckpointError, match=r"side_px: is 500, .* needs a multiple of 32"):
        load_sam2(official_state(net), kind, Path("x.pt"), 500)


def test_it_computes_what_the_reference_computes(net: Sam2, kind: str, image: torch.Tensor) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed: pip install -e '.[dev]'")
    reference = reference_of(net, kind)
    pixels = (image.permute(0, 3, 1, 2) - torch.tensor(PIXEL_MEAN)[:, None, None]) / torch.tensor(PIXEL_STD)[
        :, None, None
    ]
    coords = torch.rand(5, 2, 2) * SIDE_PX
    labels = torch.tensor([[1.0, -1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, -1.0]])
    with torch.inference_mode():
        wanted = reference.get_image_embeddings(pixels)
        embedding, fine_4, fine_8 = net.encode(image)
        for mine, theirs in zip((fine_4, fine_8, embedding), wanted, strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)
        packed = pack_embedding(embedding, fine_8, fine_4)
        # The reference pads points by one of its own, as SAM does where no box is given.
        padded = torch.cat([coords, torch.zeros(5, 1, 2)], 1), torch.cat([labels, -torch.ones(5, 1)], 1)
        logits, iou = decode_many(net.prompt_encoder, net.mask_decoder, packed, *padded)
        found = reference(image_embeddings=wanted, input_points=coords[None], input_labels=labels[None].int())
    torch.testing.assert_close(logits, found.pred_masks[0], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(iou, found.iou_scores[0], atol=1e-4, rtol=1e-4)
    assert iou.std() > 1e-4, "all alike would prove nothing"


def test_boxes_are_the_references_too(net: Sam2, kind: str, image: torch.Tensor) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed: pip install -e '.[dev]'")
    reference = reference_of(net, kind)
    corners = torch.tensor([[[10.0, 20.0], [70.0, 90.0]], [[0.0, 0.0], [128.0, 64.0]]])
    with torch.inference_mode():
        embedding, fine_4, fine_8 = net.encode(image)
        padded = torch.cat([corners, torch.zeros(2, 1, 2)], 1), torch.tensor([[2.0, 3.0, -1.0]] * 2)
        logits, iou = decode_many(
            net.prompt_encoder, net.mask_decoder, pack_embedding(embedding, fine_8, fine_4), *padded
        )
        found = reference(image_embeddings=[fine_4, fine_8, embedding], input_boxes=corners.reshape(1, 2, 4))
    torch.testing.assert_close(logits, found.pred_masks[0], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(iou, found.iou_scores[0], atol=1e-4, rtol=1e-4)


def test_padding_is_zero_and_any_side_works(net: Sam2, kind: str) -> None:
    padding = torch.tensor(FILL_RGB, dtype=torch.uint8).expand(1, 4, 4, 3)
    assert not net.normalise(padding).any()
    wider = Sam2(kind, SIDE_PX + 32).eval()
    wider.load_state_dict(net.state_dict())
    with torch.inference_mode():
        embedding, fine_4, fine_8 = wider.encode(torch.zeros(2, SIDE_PX + 32, SIDE_PX + 32, 3, dtype=torch.uint8))
    assert (embedding.shape, fine_4.shape, fine_8.shape) == ((2, 256, 10, 10), (2, 32, 40, 40), (2, 64, 20, 20))
