"""The compact SAM's losses on cases worked out by hand."""

from __future__ import annotations

import pytest
import torch

from training.sam.train import AREA_OFFSET, SHARED_LOSS, sam_losses

SIDE = 8


def square(cells: int) -> torch.Tensor:
    mask = torch.zeros(SIDE, SIDE)
    mask[:cells, :cells] = 1
    return mask


def logits_of(mask: torch.Tensor, sharpness: float = 20.0) -> torch.Tensor:
    return sharpness * (2 * mask - 1)


def losses(levels: list[torch.Tensor], mask: torch.Tensor, *, ambiguous: bool) -> dict[str, float]:
    terms = sam_losses(torch.stack(levels)[None], torch.zeros(1, 3), mask[None], torch.tensor([ambiguous]))
    return {name: term.item() for name, term in terms.items()}


def test_one_right_level_is_nearly_enough_for_a_point_and_not_for_a_box() -> None:
    mask, other = square(4), square(2)
    levels = [logits_of(other), logits_of(mask), logits_of(other)]
    # dice of a square of 4 cells inside one of 16: 1 - (2 * 4 + 1) / (4 + 16 + 1)
    wrong = 1 - 9 / 21
    assert losses(levels, mask, ambiguous=False)["loss_dice"] == pytest.approx(2 / 3 * wrong, abs=1e-4)
    assert losses(levels, mask, ambiguous=True)["loss_dice"] == pytest.approx(SHARED_LOSS * 2 / 3 * wrong, abs=1e-4)


def test_the_focal_loss_is_per_cell_of_the_object() -> None:
    mask = square(4)
    undecided = [torch.zeros(SIDE, SIDE)] * 3
    # every cell is half wrong: 0.5 ** 2 * ln 2
    expected = 0.25 * 0.693147 * SIDE**2 / (16 + AREA_OFFSET)
    assert losses(undecided, mask, ambiguous=False)["loss_focal"] == pytest.approx(expected, rel=1e-4)


def test_the_iou_that_is_to_be_predicted_is_that_of_each_level() -> None:
    mask = square(4)
    levels = [logits_of(square(4)), logits_of(square(2)), logits_of(square(0))]
    assert losses(levels, mask, ambiguous=True)["loss_iou"] == pytest.approx((1**2 + 0.25**2 + 0) / 3, abs=1e-4)


def test_gradients_reach_the_best_level_most() -> None:
    mask = square(4)
    logits = torch.stack([logits_of(square(2), 1.0), logits_of(mask, 1.0), logits_of(square(0), 1.0)])[None]
    logits.requires_grad_()
    sum(sam_losses(logits, torch.zeros(1, 3), mask[None], torch.tensor([True])).values()).backward()  # type: ignore[union-attr]
    sizes = logits.grad.abs().sum((0, 2, 3))  # type: ignore[union-attr]
    assert sizes[1] > 3 * sizes[0]
    assert sizes[0] > 0
