"""RoI drop on batches small enough to work out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from models.nets.detectors.rcnn_losses import box_losses, mask_loss, rpn_losses
from models.nets.detectors.settings import DropRule

PAPER = DropRule("absolute", classification=4.0, regression=4.0, rpn=0.3)
SURE_OF_GROUND, UNSURE, SURE_OF_FIRST = [5.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 5.0, 0.0]
LARGE, SMALL = math.log(math.exp(5) + 2), math.log(3)  # cross entropy of a sure error, and of not knowing

# Far in class and place; far in class alone; far in place alone; a sure error on the background.
LOGITS = torch.tensor([SURE_OF_GROUND, SURE_OF_GROUND, UNSURE, SURE_OF_FIRST])
DELTAS = torch.tensor([[1.0, -1.0, 2.0, 0.5], [1.0, 1.0, 1.0, 0.0], [9.0, 0.0, 0.0, 0.0], [50.0, 0.0, 0.0, 0.0]])
LABELS = torch.tensor([1, 1, 2, 0])
TARGETS = torch.zeros(4, 4)


def test_only_a_foreground_roi_that_exceeds_both_thresholds_is_dropped_and_the_normaliser_stays() -> None:
    found = box_losses(LOGITS, DELTAS, LABELS, TARGETS, PAPER)
    assert found.dropped.tolist() == [True, False, False]
    torch.testing.assert_close(found.of_foreground, torch.tensor([[LARGE, 4.5], [LARGE, 3.0], [SMALL, 9.0]]))
    assert found.classification.item() == pytest.approx((LARGE + SMALL + LARGE) / 4)
    assert found.regression.item() == pytest.approx((3 + 9) / 4)


def test_before_the_warm_up_ends_nothing_is_dropped() -> None:
    found = box_losses(LOGITS, DELTAS, LABELS, TARGETS, None)
    assert not found.dropped.any()
    assert found.classification.item() == pytest.approx((3 * LARGE + SMALL) / 4)
    assert found.regression.item() == pytest.approx((4.5 + 3 + 9) / 4)


def test_a_loss_at_its_threshold_does_not_exceed_it() -> None:
    deltas = torch.tensor([[1.0, 1.0, 1.0, 1.0]])
    found = box_losses(LOGITS[:1], deltas, LABELS[:1], TARGETS[:1], PAPER)
    assert not found.dropped.any()


@pytest.mark.parametrize(
    ("classification", "regression", "dropped"),
    [
        # Losses in class: LARGE, LARGE, SMALL; in place: 4.5, 3, 9, with a median of 4.5.
        pytest.param(0.0, 0.5, [False, False, False], id="above the median in place: the third, least in class"),
        pytest.param(0.0, 0.0, [True, False, False], id="above the least of both: the first alone"),
        pytest.param(1.0, 0.0, [False, False, False], id="nothing is above the largest"),
    ],
)
def test_thresholds_as_quantiles_of_the_batchs_foreground(
    classification: float, regression: float, dropped: list[bool]
) -> None:
    rule = DropRule("quantile", classification, regression, rpn=1.0)
    assert box_losses(LOGITS, DELTAS, LABELS, TARGETS, rule).dropped.tolist() == dropped


def test_what_is_dropped_gives_no_gradient_and_all_else_does() -> None:
    logits, deltas = LOGITS.clone().requires_grad_(), DELTAS.clone().requires_grad_()
    found = box_losses(logits, deltas, LABELS, TARGETS, PAPER)
    (found.classification + found.regression).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert deltas.grad is not None
    assert logits.grad.abs().sum(dim=1).gt(0).tolist() == [False, True, True, True]
    # The background has no box to learn.
    assert deltas.grad.abs().sum(dim=1).gt(0).tolist() == [False, True, True, False]


def test_a_batch_without_foreground_has_no_regression_and_no_quantile() -> None:
    rule = DropRule("quantile", 0.5, 0.5, 0.5)
    found = box_losses(LOGITS[3:], DELTAS[3:], LABELS[3:], TARGETS[3:], rule)
    assert (found.regression.item(), len(found.dropped)) == (0.0, 0)
    assert found.classification.item() == pytest.approx(LARGE)


def test_the_rpn_drops_regression_terms_alone() -> None:
    objectness = torch.tensor([0.0, 0.0, 0.0], requires_grad=True)
    deltas = torch.tensor([[0.1, 0.1, 0.0, 0.0], [0.1, 0.1, 0.1, 0.1], [9.0, 0.0, 0.0, 0.0]], requires_grad=True)
    labels = torch.tensor([1.0, 1.0, 0.0])
    entropy, regression, dropped = rpn_losses(objectness, deltas, labels, torch.zeros(3, 4), PAPER)
    assert entropy.item() == pytest.approx(math.log(2))
    assert regression.item() == pytest.approx(0.2 / 3)
    assert dropped.item() == 1
    (entropy + regression).backward()  # type: ignore[no-untyped-call]
    assert objectness.grad is not None
    assert deltas.grad is not None
    assert (objectness.grad != 0).all()
    assert deltas.grad.abs().sum(dim=1).gt(0).tolist() == [True, False, False]
    _, everything, none = rpn_losses(objectness, deltas, labels, torch.zeros(3, 4), None)
    assert everything.item() == pytest.approx(0.6 / 3)
    assert none.item() == 0


def test_masks_of_dropped_rois_have_no_weight() -> None:
    logits = torch.zeros(2, 4, 4, requires_grad=True)
    loss = mask_loss(logits, torch.ones(2, 4, 4), torch.tensor([True, False]))
    assert loss.item() == pytest.approx(math.log(2) / 2)
    loss.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.abs().sum(dim=(1, 2)).gt(0).tolist() == [False, True]
    assert mask_loss(logits[:0], torch.ones(0, 4, 4), torch.zeros(0, dtype=torch.bool)).item() == 0
