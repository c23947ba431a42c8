"""A small U-Net over maps of stride 8: each pixel sees a large part of the image, and the edges stay where they are."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from models.nets.backbone import ChannelNorm


class ScaleMixing(nn.Module):
    """What is added to maps [B,D,h,w], out of the maps at 1/2 and 1/4 of their side (U-Net, arXiv 1505.04597).

    h and w are multiples of 4. ``up`` starts at zero, so that a network that has learnt without this goes on from
    where it was.
    """

    def __init__(self, channels: int, half: int, quarter: int) -> None:
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv2d(channels, half, kernel_size=2, stride=2),
            ChannelNorm(half),
            nn.Conv2d(half, half, kernel_size=3, padding=1),
            nn.GELU(),
        )
        self.deep = nn.Sequential(
            nn.Conv2d(half, quarter, kernel_size=2, stride=2),
            ChannelNorm(quarter),
            nn.Conv2d(quarter, quarter, kernel_size=3, padding=1),
            nn.GELU(),
            nn.Conv2d(quarter, quarter, kernel_size=3, padding=1),
            nn.GELU(),
            nn.Conv2d(quarter, half, kernel_size=1),
        )
        self.mix = nn.Sequential(
            ChannelNorm(half), nn.GELU(), nn.Conv2d(half, half, kernel_size=3, padding=1), nn.GELU()
        )
        self.up = nn.ConvTranspose2d(half, channels, kernel_size=2, stride=2)
        nn.init.zeros_(self.up.weight)
        assert self.up.bias is not None
        nn.init.zeros_(self.up.bias)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return maps [B,D,h,w] to be added."""
        at_half = self.down(maps)
        mixed = self.mix(at_half + functional.interpolate(self.deep(at_half), scale_factor=2.0))
        added: torch.Tensor = self.up(mixed)
        return added
