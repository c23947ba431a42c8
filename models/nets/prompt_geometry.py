"""Where each pixel lies relative to a prompt: what a mask decoder otherwise learns from tokens alone, and coarsely.

Segment Anything's tokens tell the decoder only roughly where a prompt is. A small network's masks then miss a box's
sides by a few cells, which costs small things most. So each prompt is also drawn as maps, as interactive segmenters
draw clicks (RITM, arXiv 2102.06583).
"""

from __future__ import annotations

import torch
from torch import nn

from models.nets.backbone import STRIDE_PX
from models.prompting.prompts import BACKGROUND, BOTTOM_RIGHT, FOREGROUND, TOP_LEFT

# Distances at which a map reaches its end: from a box's side, and from a point.
SIDE_PX = 4.0
NEAR_PX, WIDE_PX = 8.0, 48.0
# Share of the box's side over which the map of depth rises.
DEPTH_SHARE = 0.25
MAPS = 6
FAR_PX2 = 1e8


class PromptGeometry(nn.Module):
    """Maps of each prompt, added to the decoder's pixels and weighed in its logits by each mask level's own token.

    All weights start at zero, so that a decoder that has learnt without these maps goes on from where it was.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pixel_weights = nn.Parameter(torch.zeros(MAPS, channels))
        self.level_weights = nn.Parameter(torch.zeros(channels, MAPS))
        self.level_bias = nn.Parameter(torch.zeros(MAPS))

    def pixels(self, coords: torch.Tensor, labels: torch.Tensor, side: int) -> torch.Tensor:
        """Return what is added to pixels [P,L,D] of an embedding of ``side`` x ``side``."""
        maps = draw_prompts(coords, labels, _centres(side, STRIDE_PX, 0.5, coords.device))
        return maps.flatten(2).transpose(1, 2) @ self.pixel_weights

    def logits(
        self, coords: torch.Tensor, labels: torch.Tensor, states: torch.Tensor, side: int, *, half: bool
    ) -> torch.Tensor:
        """Return what is added to mask logits [P,3,4e,4e], or [P,3,2e,2e], e = ``side``; ``states`` are [P,3,D]."""
        finer, centre = (2, 0.25) if half else (4, 0.5)
        maps = draw_prompts(coords, labels, _centres(finer * side, STRIDE_PX / finer, centre, coords.device))
        weights = states @ self.level_weights + self.level_bias
        drawn: torch.Tensor = (weights @ maps.flatten(2)).reshape(weights.shape[0], -1, *maps.shape[2:])
        return drawn


def draw_prompts(coords: torch.Tensor, labels: torch.Tensor, centres_px: torch.Tensor) -> torch.Tensor:
    """Draw prompts as maps [P,6,h,h] in -1 to 1.

    Three show the box, and are 0 without one: the signed distance from its sides, the depth in it relative to its own
    size, and the ellipse in it. Three show points: close to a foreground point, in its surroundings, and close to a
    background point.

    Args:
        coords: [P,N,2] x, y in pixels of the square input.
        labels: [P,N], see `models.prompting.prompts`.
        centres_px: [h] of the rows, and of the columns.
    """
    low_xy, high_xy = _corner(coords, labels, TOP_LEFT), _corner(coords, labels, BOTTOM_RIGHT)
    size_xy = (high_xy - low_xy).clamp(min=1.0)  # [P,2,1]
    from_low, to_high = centres_px - low_xy, high_xy - centres_px  # [P,2,h]
    inside_xy = torch.minimum(from_low, to_high)
    inside = _least(inside_xy)
    depth = _least(inside_xy / size_xy)
    squares_xy = ((from_low - to_high) / size_xy).square()
    ellipse = 1 - (squares_xy[:, 1, :, None] + squares_xy[:, 0, None])
    box = torch.stack([inside / SIDE_PX, depth / DEPTH_SHARE, ellipse], dim=1).clamp(-1, 1)
    with_box = (labels == TOP_LEFT).any(dim=1).float()
    wanted, unwanted = (_nearest_px2(coords, labels == kind, centres_px) for kind in (FOREGROUND, BACKGROUND))
    points = torch.stack([wanted / NEAR_PX**2, wanted / WIDE_PX**2, unwanted / NEAR_PX**2], dim=1)
    return torch.cat([box * with_box[:, None, None, None], 1 - points.clamp(max=1)], dim=1)


def _centres(count: int, cell_px: float, centre: float, device: torch.device) -> torch.Tensor:
    return (torch.arange(count, dtype=torch.float32, device=device) + centre) * cell_px


def _corner(coords: torch.Tensor, labels: torch.Tensor, kind: float) -> torch.Tensor:
    """Return the corner [P,2,1] of each prompt's box; 0 without a box."""
    return (coords * (labels == kind)[..., None]).sum(dim=1)[..., None]


def _least(of_axes: torch.Tensor) -> torch.Tensor:
    """Return the lesser of values along x and along y [P,2,h] for each pixel [P,h,h]."""
    return torch.minimum(of_axes[:, 1, :, None], of_axes[:, 0, None])


def _nearest_px2(coords: torch.Tensor, chosen: torch.Tensor, centres_px: torch.Tensor) -> torch.Tensor:
    """Return the squared distance [P,h,h] to the nearest chosen point; huge if none is chosen."""
    squares = (coords[..., None] - centres_px).square()  # [P,N,2,h]
    of_rows = squares[:, :, 1] + (~chosen).float()[..., None] * FAR_PX2
    return (of_rows[..., None] + squares[:, :, 0, None]).amin(dim=1)
