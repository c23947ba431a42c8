"""Losses of R-CNN heads with RoI drop: what looks most like a wrong pseudo label gets no weight.

RoI drop is WeakSAM's (arXiv 2402.14812, section 3.4). Pseudo ground truth has wrong boxes; a network that has learnt
the right ones first meets the wrong ones with large losses in class and place at once. All regression losses are L1
(smooth L1 with beta 0), as in WeakSAM's code.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn import functional

from models.nets.detectors.drop_rule import drop_threshold, exceeds_both
from models.nets.detectors.settings import DropRule


class BoxLosses(NamedTuple):
    """Losses of R sampled RoIs, F of them foreground.

    Attributes:
        classification, regression: scalars, sums over what was not dropped divided by R.
        of_foreground: [F,2] each foreground RoI's own classification and regression loss, without gradient.
        dropped: [F] bool.
    """

    classification: torch.Tensor
    regression: torch.Tensor
    of_foreground: torch.Tensor
    dropped: torch.Tensor


def box_losses(
    logits: torch.Tensor, deltas: torch.Tensor, labels: torch.Tensor, targets: torch.Tensor, rule: DropRule | None
) -> BoxLosses:
    """Return the losses of the box head.

    Args:
        logits: [R,1+C], background first.
        deltas: [R,4] class-agnostic, in the box coder's weights (10, 10, 5, 5).
        labels: [R] 0 for background.
        targets: [R,4] as ``deltas``.
        rule: None drops nothing.
    """
    entropy = functional.cross_entropy(logits, labels, reduction="none")  # [R]
    foreground = labels > 0
    distance = (deltas - targets).abs().sum(dim=1)[foreground]  # [F]
    of_foreground = torch.stack([entropy[foreground], distance], dim=1).detach()
    dropped = exceeds_both(of_foreground, rule)
    weights = torch.ones_like(entropy)
    weights[foreground] = (~dropped).to(weights.dtype)
    # The normaliser counts what was dropped: else the remaining RoIs would pull harder the more is dropped.
    count = max(len(labels), 1)
    return BoxLosses(
        classification=(weights * entropy).sum() / count,
        regression=(weights[foreground] * distance).sum() / count,
        of_foreground=of_foreground,
        dropped=dropped,
    )


def rpn_losses(
    objectness: torch.Tensor, deltas: torch.Tensor, labels: torch.Tensor, targets: torch.Tensor, rule: DropRule | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return objectness and regression loss of A sampled anchors, and how many foreground anchors were dropped.

    Args:
        objectness: [A] logits.
        deltas: [A,4], box coder's weights 1.
        labels: [A] 1 for foreground, 0 for background.
        targets: [A,4] as ``deltas``.
        rule: None drops nothing; its ``rpn`` is compared with the sum of an anchor's four L1 terms.
    """
    distance = (deltas - targets).abs().sum(dim=1)[labels > 0]
    dropped = torch.zeros_like(distance, dtype=torch.bool)
    if rule is not None:
        dropped = distance.detach() > drop_threshold(distance.detach(), rule.rpn, rule.unit)
    count = max(len(labels), 1)
    entropy = functional.binary_cross_entropy_with_logits(objectness, labels, reduction="sum") / count
    return entropy, (distance * ~dropped).sum() / count, dropped.sum()


def mask_loss(logits: torch.Tensor, targets: torch.Tensor, dropped: torch.Tensor) -> torch.Tensor:
    """Return the cross entropy of mask logits [F,M,M] with ``targets`` in 0..1; ``dropped`` [F] have no weight."""
    entropy = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=(1, 2))
    return (entropy * ~dropped).sum() / max(len(dropped), 1)
