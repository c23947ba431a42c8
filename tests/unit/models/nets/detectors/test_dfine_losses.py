"""Query drop on outputs made by hand: what the network has come to disagree with has no weight anywhere."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import DFineConfig

from models.nets.detectors.dfine_losses import DENOISING, dfine_losses
from models.nets.detectors.query_drop import SILENT
from models.nets.detectors.settings import DropRule

CONFIG = DFineConfig(num_labels=2, decoder_layers=2, num_denoising=0)
BINS = 4 * (CONFIG.max_num_bins + 1)
OUTLIERS = DropRule("absolute", classification=2.0, regression=3.0, rpn=0.0)
# The first query agrees with the first object; the second lies far from the other, and does not know its class.
BOXES = torch.tensor([[0.2, 0.2, 0.2, 0.2], [0.9, 0.9, 0.1, 0.1], [0.5, 0.1, 0.1, 0.1]])
LOGITS = torch.tensor([[4.0, -4.0], [-4.0, -4.0], [-6.0, -6.0]])
RIGHT = (0, [0.22, 0.2, 0.2, 0.2])
OUTLIER = (1, [0.6, 0.7, 0.3, 0.3])


def targets_of(*objects: tuple[int, list[float]]) -> list[dict[str, torch.Tensor]]:
    labels = torch.tensor([label for label, _ in objects], dtype=torch.int64)
    return [{"class_labels": labels, "boxes": torch.tensor([box for _, box in objects]).reshape(-1, 4)}]


def output_of(logits: torch.Tensor, boxes: torch.Tensor, meta: dict[str, Any] | None = None) -> SimpleNamespace:
    """Two layers that say the same, and the encoder with them; [Q,C] logits and [Q,4] boxes of one image."""
    generator = torch.Generator().manual_seed(0)
    selected = slice(0 if meta is None else meta["dn_num_split"][0], None)
    return SimpleNamespace(
        intermediate_logits=logits.expand(1, 3, -1, -1),
        intermediate_reference_points=boxes.expand(1, 3, -1, -1),
        intermediate_predicted_corners=torch.randn(1, 2, len(boxes), BINS, generator=generator),
        initial_reference_points=boxes.detach().expand(1, 2, -1, -1),
        enc_topk_logits=logits[None, selected],
        enc_topk_bboxes=boxes[None, selected],
        denoising_meta_values=meta,
    )


def test_an_object_whose_query_exceeds_both_thresholds_is_dropped() -> None:
    _, matched = dfine_losses(output_of(LOGITS, BOXES), targets_of(RIGHT, OUTLIER), CONFIG, OUTLIERS)
    assert matched.objects[0].tolist() == [0, 1]
    assert matched.dropped.tolist() == [False, True]
    # Cross entropy of the object's class; five times L1 and twice 1 - generalised IoU.
    assert matched.losses[0].tolist() == pytest.approx([0.01815, 5 * 0.02 + 2 * (1 - 0.18 / 0.22)], abs=1e-4)
    assert matched.losses[1, 0].item() == pytest.approx(4.01815, abs=1e-4)


@pytest.mark.parametrize("rule", [None, DropRule("absolute", 5.0, 3.0, 0.0), DropRule("absolute", 2.0, 9.0, 0.0)])
def test_one_threshold_alone_drops_nothing(rule: DropRule | None) -> None:
    _, matched = dfine_losses(output_of(LOGITS, BOXES), targets_of(RIGHT, OUTLIER), CONFIG, rule)
    assert not matched.dropped.any()


def test_a_dropped_object_has_no_weight_and_the_normaliser_counts_it() -> None:
    dropped, _ = dfine_losses(output_of(LOGITS, BOXES), targets_of(RIGHT, OUTLIER), CONFIG, OUTLIERS)
    # As if the object and what its query says had never been, divided by two objects instead of one.
    quiet = LOGITS.clone()
    quiet[1] = SILENT
    without, _ = dfine_losses(output_of(quiet, BOXES), targets_of(RIGHT), CONFIG, None)
    for name in ("loss_class", "loss_box", "loss_giou", "loss_corners"):
        assert dropped[name].item() == pytest.approx(without[name].item() / 2, rel=1e-5), name
        assert dropped[name].item() > 0


def test_the_query_of_a_dropped_object_learns_nothing_and_all_others_do() -> None:
    logits, boxes = LOGITS.clone().requires_grad_(), BOXES.clone().requires_grad_()
    losses, _ = dfine_losses(output_of(logits, boxes), targets_of(RIGHT, OUTLIER), CONFIG, OUTLIERS)
    torch.autograd.backward(torch.stack(list(losses.values())).sum())
    assert logits.grad is not None
    assert boxes.grad is not None
    assert logits.grad[1].abs().sum() == boxes.grad[1].abs().sum() == 0
    assert (logits.grad[[0, 2]].abs().sum(dim=1) > 0).all()
    assert boxes.grad[0].abs().sum() > 0


def test_denoising_queries_of_a_dropped_object_have_no_weight() -> None:
    # Two objects: queries 0 and 1 are to find them, 2 and 3, made from the same, to find nothing.
    meta = {"dn_positive_idx": [torch.tensor([0, 1])], "dn_num_group": 1, "dn_num_split": [4, 3]}
    logits = torch.cat([torch.zeros(4, 2), LOGITS]).requires_grad_()
    boxes = torch.cat([BOXES[[0, 1, 0, 1]], BOXES]).requires_grad_()
    config = DFineConfig(num_labels=2, decoder_layers=2, num_denoising=2)
    losses, _ = dfine_losses(output_of(logits, boxes, meta), targets_of(RIGHT, OUTLIER), config, OUTLIERS)
    torch.autograd.backward(losses[DENOISING])
    assert logits.grad is not None
    assert logits.grad[[1, 3]].abs().sum() == 0
    assert (logits.grad[[0, 2]].abs().sum(dim=1) > 0).all()


def test_a_batch_without_an_object_teaches_that_there_is_nothing() -> None:
    logits = LOGITS.clone().requires_grad_()
    losses, matched = dfine_losses(output_of(logits, BOXES), targets_of(), CONFIG, OUTLIERS)
    assert len(matched.dropped) == 0
    torch.autograd.backward(losses["loss_class"])
    assert logits.grad is not None
    assert (logits.grad > 0).any()
