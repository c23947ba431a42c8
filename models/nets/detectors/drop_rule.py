"""Which losses are too large to learn from by drop's thresholds, and what is counted over all ranks."""

from __future__ import annotations

from typing import Any

import torch
from torch import distributed

from models.nets.detectors.settings import DropRule


def exceeds_both(losses: torch.Tensor, rule: DropRule | None) -> torch.Tensor:
    """Return which of [F,2] losses, classification and place (box or mask), exceed both thresholds.

    Args:
        losses: of this rank's foreground, without gradient.
        rule: None: none does. ``rpn`` is not used.
    """
    if rule is None:
        return torch.zeros(len(losses), dtype=torch.bool, device=losses.device)
    too_unlike = losses[:, 0] > drop_threshold(losses[:, 0], rule.classification, rule.unit)
    too_far = losses[:, 1] > drop_threshold(losses[:, 1], rule.regression, rule.unit)
    return too_unlike & too_far


def drop_threshold(losses: torch.Tensor, value: float, unit: str) -> float:
    """Return the loss above which to drop: ``value``, or that quantile of losses [F] over all ranks."""
    if unit == "absolute":
        return value
    of_batch = _of_all_ranks(losses)  # so that several ranks drop what one would
    return float(torch.quantile(of_batch.float(), value)) if len(of_batch) else value


def mean_over_ranks(count: float, device: torch.device) -> float:
    """Return a rank's share of what all ranks count, at least 1: the normaliser of losses that ranks average."""
    total = torch.tensor([count], dtype=torch.float32, device=device)
    if _ranks_are_joined():
        distributed.all_reduce(total)
        total /= distributed.get_world_size()
    return max(float(total), 1.0)


def _of_all_ranks(losses: torch.Tensor) -> torch.Tensor:
    if not _ranks_are_joined():
        return losses
    parts: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(parts, losses.cpu())
    return torch.cat(parts).to(losses.device)


def _ranks_are_joined() -> bool:
    return distributed.is_available() and distributed.is_initialized()
