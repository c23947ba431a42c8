"""The learning rate of each step and part of a network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

FINAL_SHARE = 0.01


def scheduled_lr(base_lr: float, step: int, steps: int, warmup_steps: int) -> float:
    """Return the rate of a step: a linear warm-up, then a half cosine down to 1 % of ``base_lr``."""
    if step < warmup_steps:
        return base_lr * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)
    return base_lr * (FINAL_SHARE + (1 - FINAL_SHARE) * 0.5 * (1 + math.cos(math.pi * progress)))


def parameter_groups(net: nn.Module, backbone: Sequence[nn.Parameter], lr_scale: float) -> list[dict[str, Any]]:
    """Return an optimizer's groups: what of ``backbone`` is not frozen, with its own ``lr_scale``, and the rest."""
    pretrained = {id(parameter) for parameter in backbone}
    return [
        {"params": [parameter for parameter in backbone if parameter.requires_grad], "lr_scale": lr_scale},
        {"params": [parameter for parameter in net.parameters() if id(parameter) not in pretrained]},
    ]


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Apply ``lr`` to all groups; a group may carry a ``lr_scale`` of its own."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)
