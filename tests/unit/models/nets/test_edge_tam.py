"""EdgeTAM: its checkpoint's layout, and the same outputs as Hugging Face's network with the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.nets.backbone import pack_embedding
from models.nets.edge_tam import EdgeTam, is_edge_tam, load_edge_tam
from models.nets.many_prompts import decode_many
from models.nets.published import FILL_RGB, PIXEL_MEAN, PIXEL_STD, CheckpointError, read_checkpoint
from tests.support.edge_tam import official_state, random_edge_tam, reference_of, write_edge_tam

SIDE_PX = 128


@pytest.fixture(scope="module")
def net() -> EdgeTam:
    return random_edge_tam(SIDE_PX)


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    rng = np.random.default_rng(3)
    return torch.from_numpy(rng.integers(0, 256, (1, SIDE_PX, SIDE_PX, 3), np.uint8))


def test_the_official_names_are_those_of_the_published_file(net: EdgeTam) -> None:
    """A few of each part, as facebookresearch/EdgeTAM's modules name them."""
    assert official_state(net).keys() >= {
        "image_encoder.trunk.body.stem.conv1.c.weight",
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


def test_a_checkpoint_is_read_whole(net: EdgeTam, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(write_edge_tam(tmp_path / "x.pt", net))
    assert is_edge_tam(checkpoint)
    loaded = load_edge_tam(checkpoint, tmp_path / "x.pt", SIDE_PX)
    for name, tensor in net.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"no_mem_embed": None}, r"Missing key.*no_memory", id="missing"),
        pytest.param({"sam_mask_decoder.more": torch.zeros(1)}, r"Unexpected key.*mask_decoder\.more", id="surplus"),
        pytest.param({"no_mem_embed": torch.zeros(1, 1, 8)}, r"no_memory", id="another shape"),
    ],
)
def test_a_checkpoint_of_another_network_is_refused(
    net: EdgeTam, change: dict[str, torch.Tensor | None], message: str
) -> None:
    state = {key: tensor for key, tensor in {**official_state(net), **change}.items() if tensor is not None}
    with pytest.raises(CheckpointError, match=rf"x\.pt differs from EdgeTAM .*{message}"):
        load_edge_tam({"model": state}, Path("x.pt"), SIDE_PX)


def test_a_side_that_does_not_suit_is_refused(net: EdgeTam) -> None:
    with pytest.raises(CheckpointError, match=r"side_px: is 500, EdgeTAM needs a multiple of 32"):
        load_edge_tam({"model": official_state(net)}, Path("x.pt"), 500)


def test_it_computes_what_the_reference_computes(net: EdgeTam, image: torch.Tensor) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed: pip install -e '.[dev]'")
    reference = reference_of(net)
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


def test_boxes_are_the_references_too(net: EdgeTam, image: torch.Tensor) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed: pip install -e '.[dev]'")
    reference = reference_of(net)
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


def test_padding_is_zero_and_any_side_works(net: EdgeTam) -> None:
    padding = torch.tensor(FILL_RGB, dtype=torch.uint8).expand(1, 4, 4, 3)
    assert not net.normalise(padding).any()
    wider = EdgeTam(SIDE_PX + 32).eval()
    wider.load_state_dict(net.state_dict())
    with torch.inference_mode():
        embedding, fine_4, fine_8 = wider.encode(torch.zeros(2, SIDE_PX + 32, SIDE_PX + 32, 3, dtype=torch.uint8))
    assert (embedding.shape, fine_4.shape, fine_8.shape) == ((2, 256, 10, 10), (2, 32, 40, 40), (2, 64, 20, 20))
