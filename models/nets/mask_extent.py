"""Mask logits to the box of what they draw, finer than their cells."""

from __future__ import annotations

import torch


def profile_extent(
    profile: torch.Tensor, cell_px: float, valid_px: torch.Tensor, centre: float = 0.5
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the first and last position [...] in pixels of the run above 0 around a profile's peak.

    A speck apart from the rest on either axis is no part of the object: one cell of it would move the box.
    Profiles [...,h] hold the highest logit of each column or row, taken at ``centre`` of each cell.

    An edge is put where the logits cross 0 between two cell centres, as bilinear enlargement would put it: whole
    cells are too coarse for small objects. At the border of the valid area the object goes on to the border.
    If nothing is above 0 the extent is empty (first >= last).
    """
    count = profile.shape[-1]
    index = torch.arange(count, device=profile.device)
    above = profile > 0
    peak = profile.argmax(dim=-1, keepdim=True)
    first = torch.where(~above & (index < peak), index + 1, torch.zeros_like(index)).amax(dim=-1)
    last = torch.where(~above & (index > peak), index - 1, torch.full_like(index, count - 1)).amin(dim=-1)
    start = (first + centre - _overshoot(profile, first, first - 1)) * cell_px
    end = (last + centre + _overshoot(profile, last, last + 1)) * cell_px
    reaches_end = (last + 1 + centre) * cell_px > valid_px
    start = torch.where(first == 0, torch.zeros_like(start), start)
    end = torch.where(reaches_end, valid_px.to(end.dtype), end)
    anything = above.any(dim=-1)
    return start * anything, end * anything


def _overshoot(profile: torch.Tensor, inner: torch.Tensor, outer: torch.Tensor) -> torch.Tensor:
    """Return the share of a cell from centre ``inner`` (above 0) to the zero of the logit towards ``outer``."""
    inside = profile.gather(-1, inner[..., None])[..., 0]
    outside = profile.gather(-1, outer.clamp(0, profile.shape[-1] - 1)[..., None])[..., 0]
    return (inside / (inside - outside).clamp(min=1e-6)).clamp(0, 1)
