"""Concrete drop block: structured dropout on RoI features that learns where it hurts."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

BLOCK_CELLS = 3
TEMPERATURE = 0.1  # of the relaxed coin, as in Concrete Dropout (arXiv 1705.07832)


class ReversedGradient(torch.autograd.Function):
    """The identity, whose gradient has the opposite sign (arXiv 1409.7495)."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:  # noqa: ARG004 - torch's signature
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:  # noqa: ARG004 - torch's signature
        return -gradient


class ConcreteDropBlock(nn.Module):
    """Drops blocks of RoI features in training (MIST, arXiv 2004.04725, section 3.4); the identity otherwise.

    A small network sees each RoI and gives every cell a probability of being the centre of a dropped block. Its
    gradient is reversed: it learns to raise the loss that everything else learns to lower, so that it hides the telling
    part of an object and the detector has to find the whole. The network sees the features detached.

    Args:
        channels: of the RoI features.
        share: bound on the expected share of dropped cells. Each cell's probability is scaled to at most
            share / BLOCK_CELLS^2. The paper cuts it off; a cut leaves the network without a gradient.
    """

    def __init__(self, channels: int, share: float) -> None:
        super().__init__()
        self.share = share
        self.hides = nn.Sequential(
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, 1, kernel_size=3, padding=1),
        )

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        """Drop blocks of RoI features [R,D,h,w]; the rest is scaled up by the share dropped."""
        if not self.training or self.share == 0:
            return pooled
        kept: torch.Tensor = ReversedGradient.apply(self.draw_kept(pooled.detach()))
        cells = kept.shape[2] * kept.shape[3]
        return pooled * kept * (cells / kept.sum(dim=(2, 3), keepdim=True).clamp(min=1))

    def draw_kept(self, pooled: torch.Tensor) -> torch.Tensor:
        """Draw ones and zeros [R,1,h,w], with the gradient of the relaxed coins that they were drawn with."""
        centre = self.hides(pooled).float().sigmoid() * (self.share / BLOCK_CELLS**2)
        noise = torch.rand_like(centre).clamp(1e-6, 1 - 1e-6)
        relaxed = ((centre.logit(eps=1e-6) + noise.logit()) / TEMPERATURE).sigmoid()
        drawn = (relaxed > 0.5).float() + relaxed - relaxed.detach()
        return 1 - functional.max_pool2d(drawn, BLOCK_CELLS, stride=1, padding=BLOCK_CELLS // 2)
