"""MobileSAM: its checkpoint's layout, and the outputs of its own package with the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.letterbox import Letterbox
from models.nets.checkpoint_files import CheckpointError
from models.nets.many_prompts import decode_many
from models.nets.published_sam.mobile_sam import MobileSam, load_mobile_sam
from models.nets.published_sam.open_published import open_published
from tests.support.segmenters.mobile_sam import official_state, random_mobile_sam, reference_of, write_mobile_sam

SIDE_PX = 256
PUBLISHED_SIDE_PX = 1024  # the package knows no other


@pytest.fixture(scope="module")
def net() -> MobileSam:
    return random_mobile_sam(SIDE_PX)


def test_a_checkpoint_is_read_whole(net: MobileSam, tmp_path: Path) -> None:
    opened = open_published(write_mobile_sam(tmp_path / "x.pt", net), SIDE_PX)
    assert opened.kind == "mobilesam"
    for name, tensor in net.state_dict().items():
        assert torch.equal(opened.net.state_dict()[name], tensor), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"mask_decoder.iou_token.weight": None}, r"missing: mask_decoder\.iou_token", id="missing"),
        pytest.param({"image_encoder.more": torch.zeros(1)}, r"unknown: image_encoder\.more", id="surplus"),
    ],
)
def test_a_changed_checkpoint_is_refused(net: MobileSam, change: dict[str, torch.Tensor | None], message: str) -> None:
    state = {key: tensor for key, tensor in {**official_state(net), **change}.items() if tensor is not None}
    with pytest.raises(CheckpointError, match=rf"x\.pt differs from MobileSAM .*{message}"):
        load_mobile_sam(state, Path("x.pt"), SIDE_PX)


def test_it_computes_what_its_package_computes() -> None:
    net = random_mobile_sam(PUBLISHED_SIDE_PX)
    reference = reference_of(net)
    image_hwc_u8 = np.random.default_rng(3).integers(0, 256, (768, PUBLISHED_SIDE_PX, 3), np.uint8)
    square = Letterbox(image_hwc_u8.shape[:2], PUBLISHED_SIDE_PX).apply(image_hwc_u8, net.fill_rgb)
    points = torch.tensor([[[30.0, 40.0]], [[200.0, 80.0]]])
    boxes = torch.tensor([[20.0, 10.0, 90.0, 120.0]])
    padded = torch.cat([points, torch.zeros(2, 1, 2)], 1), torch.tensor([[1.0, -1.0]] * 2)
    corners = boxes.reshape(1, 2, 2), torch.tensor([[2.0, 3.0]])
    with torch.inference_mode():
        pixels = reference.preprocess(torch.from_numpy(image_hwc_u8).permute(2, 0, 1)[None].float())
        wanted, found = reference.image_encoder(pixels), net.encode(torch.from_numpy(square)[None])
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
        for prompts, theirs in ((padded, {"points": (points, torch.ones(2, 1))}), (corners, {"boxes": boxes})):
            logits, iou = decode_many(net.prompt_encoder, net.mask_decoder, found, *prompts)
            sparse, dense = reference.prompt_encoder(**{"points": None, "boxes": None, "masks": None, **theirs})
            wanted_logits, wanted_iou = reference.mask_decoder(
                wanted, reference.prompt_encoder.get_dense_pe(), sparse, dense, multimask_output=True
            )
            torch.testing.assert_close(logits, wanted_logits, atol=1e-3, rtol=1e-3)
            torch.testing.assert_close(iou, wanted_iou, atol=1e-4, rtol=1e-4)
            assert iou.std() > 1e-4, "all alike would prove nothing"


def test_any_side_works(net: MobileSam) -> None:
    wider = MobileSam(SIDE_PX + 16).eval()
    wider.load_state_dict(net.state_dict())
    with torch.inference_mode():
        assert wider.encode(torch.zeros(2, SIDE_PX + 16, SIDE_PX + 16, 3, dtype=torch.uint8)).shape == (2, 256, 17, 17)
    with pytest.raises(CheckpointError, match=r"side_px: is 500, MobileSAM needs a multiple of 16"):
        load_mobile_sam(official_state(net), Path("x.pt"), 500)
