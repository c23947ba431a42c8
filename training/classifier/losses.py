"""Losses of the classifiers, from tags alone."""

from __future__ import annotations

import torch
from torch.nn import functional

from models.nets.cam import smooth_max
from models.nets.weaktr import WeakTrOutput


def cut_tiles(maps: torch.Tensor, tiles: int) -> torch.Tensor:
    """Cut maps [B,C,e,e] of mosaics with T = 1 or 4 tiles into [B*T,C,e/a,e/a], tiles in reading order."""
    across = round(tiles**0.5)
    batch, classes, side, _ = maps.shape
    cell = side // across
    grid = maps.reshape(batch, classes, across, cell, across, cell)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(batch * tiles, classes, cell, cell)


def lowest_positions(ranking: torch.Tensor, share: float) -> torch.Tensor:
    """Return bool [T,K,h,w], the positions that have the lowest ``share`` of each map of ``ranking``, at least one."""
    flat = ranking.flatten(2)
    count = max(1, int(share * flat.shape[2]))
    lowest = flat.topk(count, dim=2, largest=False).indices
    return torch.zeros_like(flat, dtype=torch.bool).scatter(2, lowest, True).view_as(ranking)


def background_loss(maps: torch.Tensor, tags: torch.Tensor, background: torch.Tensor) -> torch.Tensor:
    """Return how far the background of each tagged class is from saying no.

    The background covers most of an image and looks alike everywhere. A classifier that reads the class off the
    background cannot both fire and stay silent on it; one that reads it off the object can. So the maps stay on the
    object even if each kind was filmed on a background of its own. Ours, not in the paper.

    Args:
        maps: logits [T,C,h,w] of T tiles.
        tags: [T,C] zeros and ones.
        background: bool [T,1 or C,h,w], see `lowest_positions`.
    """
    chosen = background & (tags > 0)[..., None, None]
    if not chosen.any():
        return maps.sum() * 0  # images of nothing alone: a mean over no class would be no number
    return functional.softplus(maps.float()[chosen]).mean()


def cnn_losses(
    maps: torch.Tensor,
    tags: torch.Tensor,
    inverse_temperature: float,
    background_share: float,
    objectness: torch.Tensor | None = None,
) -> dict[str, torch.Tensor]:
    """Return the unweighted loss terms of a CNN CAM.

    If nothing else is known, the lowest positions of each tagged class's own map are its background, and all positions
    are pooled. With ``objectness`` the background is the same for all classes and is not pooled. So a class cannot be
    read off what it was filmed on, even if it was never filmed on anything else.

    Args:
        maps: logits [B,C,e,e] of mosaics.
        tags: [B,T,C] zeros and ones of their tiles.
        inverse_temperature: see `smooth_max`.
        background_share: share of a tile that is background.
        objectness: [B,1,e,e], see `load_objectness`.
    """
    tiles = cut_tiles(maps, tags.shape[1])
    tags_of_tiles = tags.flatten(0, 1)
    if objectness is None:
        background, left_out = lowest_positions(tiles.detach(), background_share), None
    else:
        background = left_out = lowest_positions(cut_tiles(objectness, tags.shape[1]), background_share)
    pooled = smooth_max(tiles, inverse_temperature, left_out)
    entropy = functional.binary_cross_entropy_with_logits(pooled, tags_of_tiles, reduction="none")
    return {
        "loss_tags": entropy.sum(dim=1).mean(),
        "loss_background": background_loss(tiles, tags_of_tiles, background),
    }


def weaktr_losses(
    output: WeakTrOutput, tags: torch.Tensor, inverse_temperature: float, background_share: float
) -> dict[str, torch.Tensor]:
    """Return the three multi-label losses of WeakTr (arXiv 2304.01184), unweighted, and `background_loss`.

    The class tokens of a mosaic learn the tags of all its tiles, the maps of each tile its own tags. With one tile
    this is the paper's loss.

    Args:
        output: of mosaics, maps [B,C,e,e].
        tags: [B,T,C] zeros and ones of their tiles.
        inverse_temperature: see `smooth_max`.
        background_share: of the coarse maps, see `lowest_positions`.
    """
    of_tiles = tags.flatten(0, 1)
    coarse, fine = (cut_tiles(maps, tags.shape[1]) for maps in (output.coarse, output.fine))
    entropy = functional.multilabel_soft_margin_loss
    return {
        "loss_class_tokens": entropy(output.class_logits, tags.amax(dim=1)),
        "loss_coarse": entropy(smooth_max(coarse, inverse_temperature), of_tiles),
        "loss_fine": entropy(smooth_max(fine, inverse_temperature), of_tiles),
        "loss_background": background_loss(coarse, of_tiles, lowest_positions(coarse.detach(), background_share)),
    }
