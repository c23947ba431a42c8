"""The learning rate of each step."""

from __future__ import annotations

import math

import torch

FINAL_SHARE = 0.01


def scheduled_lr(base_lr: float, step: int, steps: int, warmup_steps: int) -> float:
    """Return the rate of a step: a linear warm-up, then a half cosine down to 1 % of ``base_lr``."""
    if step < warmup_steps:
        return base_lr * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)
    return base_lr * (FINAL_SHARE + (1 - FINAL_SHARE) * 0.5 * (1 + math.cos(math.pi * progress)))


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Apply ``lr`` to all groups; a group may carry a ``lr_scale`` of its own."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)
