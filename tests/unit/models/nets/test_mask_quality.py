"""Numbers that describe masks, worked out by hand, and the correction of the predicted IoU that learns from them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.nets.compact_sam import CompactSam, build_compact_sam
from models.nets.many_prompts import decode_many
from models.nets.mask_quality import MaskQuality, mask_statistics
from training.sam.train import rank_loss

SIDE = 64
COORDS = torch.tensor([[[9.0, 30.0], [0.0, 0.0]], [[8.0, 16.0], [40.0, 32.0]]])
LABELS = torch.tensor([[1.0, -1.0], [2.0, 3.0]])


@pytest.fixture
def sam() -> CompactSam:
    torch.manual_seed(0)
    return build_compact_sam("mobilenetv2_100", SIDE).eval()


def drawn(*rows_of_logits: list[float]) -> torch.Tensor:
    """Return logits [1,3,2,4] of three levels, eight values each."""
    return torch.tensor(rows_of_logits).reshape(1, 3, 2, 4)


def test_statistics_of_three_levels() -> None:
    logits = drawn(
        [8, 2, 0.5, -0.5, -8, -8, -8, -8],  # 3 cells inside; 2 of 4 within the offset
        [8, 8, -8, -8, -8, -8, -8, -8],
        [-8, -8, -8, -8, -8, -8, -8, 8],
    )
    iou, stability, sureness, size, overlap = mask_statistics(logits, torch.tensor([[0.9, 0.5, 0.1]]))[0].T
    torch.testing.assert_close(iou, torch.tensor([0.9, 0.5, 0.1]))
    torch.testing.assert_close(stability, torch.tensor([2 / 4, 1, 1]))
    torch.testing.assert_close(sureness, torch.tensor([(4 + 2 + 0.5) / 3 / 4, 1, 1]))
    # each level with the one that follows it, the last with the first
    torch.testing.assert_close(overlap, torch.tensor([2 / 3, 0, 0]))
    assert size[0] > size[1] > size[2]


def test_an_empty_mask_has_finite_statistics() -> None:
    numbers = mask_statistics(torch.full((2, 3, 4, 4), -9.0), torch.zeros(2, 3))
    assert numbers.isfinite().all()
    assert not numbers[:, :, [0, 1, 2, 4]].any()


def test_an_untrained_correction_has_no_say_and_a_trained_one_has(sam: CompactSam) -> None:
    packed = torch.randn(1, 512, SIDE // 8, SIDE // 8)
    parts = (sam.prompt_encoder, sam.mask_decoder, packed, COORDS, LABELS)
    with torch.inference_mode():
        of_decoder = decode_many(*parts, geometry=sam.geometry)[1]
        torch.testing.assert_close(sam.decode(packed, COORDS, LABELS)[1], of_decoder)
        for weights in sam.quality.parameters():
            nn.init.normal_(weights)
        corrected = sam.decode(packed, COORDS, LABELS)[1]
        assert ((corrected - of_decoder).abs() > 0.01).all()
        # Boxes for proposals are drawn at half the side, and must be ranked as the masks are.
        half = decode_many(*parts, geometry=sam.geometry, quality=sam.quality, half=True)[1]
    torch.testing.assert_close(half, corrected)


def test_levels_are_judged_alike_in_any_order() -> None:
    """Turning the levels turns the answers: the network knows a level by its token and its neighbours alone."""
    quality = MaskQuality(8)
    for weights in quality.parameters():
        nn.init.normal_(weights)
    states, logits, iou = torch.randn(2, 4, 8), torch.randn(2, 3, 6, 6), torch.rand(2, 3)
    turned = [1, 2, 0]
    answers = quality(states, logits, iou)
    states_turned = torch.cat([states[:, :1], states[:, 1:][:, turned]], dim=1)
    torch.testing.assert_close(quality(states_turned, logits[:, turned], iou[:, turned]), answers[:, turned])


def test_it_does_not_lead_the_masks_astray() -> None:
    quality = MaskQuality(8)
    for weights in quality.parameters():
        nn.init.normal_(weights)
    states = torch.randn(2, 4, 8, requires_grad=True)
    logits, iou = torch.randn(2, 3, 6, 6, requires_grad=True), torch.rand(2, 3, requires_grad=True)
    quality(states, logits, iou).sum().backward()
    assert states.grad is None
    assert logits.grad is None
    torch.testing.assert_close(iou.grad, torch.ones(2, 3))


def test_rank_loss_is_what_the_ranking_costs() -> None:
    true_iou = torch.tensor([[0.9, 0.5, 0.1]])
    assert rank_loss(torch.tensor([[2.0, 0.0, 0.0]]), true_iou).item() == pytest.approx(0, abs=1e-6)
    assert rank_loss(torch.tensor([[0.0, 0.0, 2.0]]), true_iou).item() == pytest.approx(0.8, abs=1e-6)
    assert rank_loss(torch.zeros(1, 3), true_iou).item() == pytest.approx(0.4, abs=1e-6)
