"""What detectors have in common in training: what they learn from, what they tell of it, and what does not learn."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn


class Target(NamedTuple):
    """What is to be found in one image: boxes [N,4] in input pixels, labels [N] from 1, masks uint8 [N or 0,H,W]."""

    boxes_xyxy: torch.Tensor
    labels: torch.Tensor
    masks: torch.Tensor


class Foreground(NamedTuple):
    """The foreground RoIs of one step, for the log: F of them.

    Attributes:
        images: [F] index in the batch.
        boxes_xyxy: [F,4] in input pixels.
        labels: [F] from 1, as the targets have it.
        losses: [F,2] classification and regression.
        dropped: [F] bool.
        dropped_anchors: scalar, of the RPN.
    """

    images: torch.Tensor
    boxes_xyxy: torch.Tensor
    labels: torch.Tensor
    losses: torch.Tensor
    dropped: torch.Tensor
    dropped_anchors: torch.Tensor


def freeze_norm(net: nn.Module) -> None:
    """Keep batch normalisation as it was loaded, also while the rest learns."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
            module.requires_grad_(False)
