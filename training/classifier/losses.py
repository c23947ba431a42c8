"""Losses of the classifiers, from tags alone."""

from __future__ import annotations

import torch
from torch.nn import functional

from models.nets.cam import smooth_max
from models.nets.weaktr import WeakTrOutput


def cut_tiles(maps: torch.Tensor, tiles: int) -> torch.Tensor:
    """Maps [B,C,e,e] of canvases with 1 or 4 tiles to [B*T,C,e/a,e/a], tiles in reading order."""
    across = round(tiles**0.5)
    batch, classes, side, _ = maps.shape
    cell = side // across
    grid = maps.reshape(batch, classes, across, cell, across, cell)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(batch * tiles, classes, cell, cell)


def ground_loss(maps: torch.Tensor, tags: torch.Tensor, ground_share: float) -> torch.Tensor:
    """Of each tagged class, the lowest ``ground_share`` of positions must say no.

    A photograph's ground covers most of it and looks alike everywhere. A classifier that reads the class off the
    ground cannot both fire and stay silent on it; one that reads it off the object can. So this contrast within one
    picture keeps maps on the object where each kind was filmed on its own ground.

    Args:
        maps: logits [T,C,h,w] of T tiles.
        tags: [T,C] zeros and ones.
    """
    tagged = maps.flatten(2).float()[tags > 0]  # [tags,h*w]
    lowest = tagged.topk(max(1, int(ground_share * tagged.shape[1])), dim=1, largest=False).values
    return functional.softplus(lowest).mean()


def cnn_losses(
    maps: torch.Tensor, tags: torch.Tensor, sharpness: float, ground_weight: float, ground_share: float
) -> dict[str, torch.Tensor]:
    """Loss terms of canvases with maps [B,C,e,e] and tags [B,T,C] of their tiles."""
    tiles = cut_tiles(maps, tags.shape[1])
    tags = tags.flatten(0, 1)
    pooled = smooth_max(tiles, sharpness)
    entropy = functional.binary_cross_entropy_with_logits(pooled, tags, reduction="none")
    return {
        "loss_tags": entropy.sum(dim=1).mean(),
        "loss_ground": ground_weight * ground_loss(tiles, tags, ground_share),
    }


def weaktr_losses(
    output: WeakTrOutput, tags: torch.Tensor, sharpness: float, ground_weight: float, ground_share: float
) -> dict[str, torch.Tensor]:
    """The three multi-label losses of WeakTr (arXiv 2304.01184), and `ground_loss` on the coarse maps.

    Of a canvas of four tiles, the class tokens answer for the tags of all four, and the maps of each quarter for its
    own: with one tile it is the paper's.

    Args:
        output: of canvases, maps [B,C,e,e].
        tags: [B,T,C] zeros and ones of their tiles.
        sharpness: of the pooling, as in `smooth_max`.
        ground_weight, ground_share: of `ground_loss`.
    """
    of_tiles = tags.flatten(0, 1)
    coarse, fine = (cut_tiles(maps, tags.shape[1]) for maps in (output.coarse, output.fine))
    entropy = functional.multilabel_soft_margin_loss
    return {
        "loss_class_tokens": entropy(output.class_logits, tags.amax(dim=1)),
        "loss_coarse": entropy(smooth_max(coarse, sharpness), of_tiles),
        "loss_fine": entropy(smooth_max(fine, sharpness), of_tiles),
        "loss_ground": ground_weight * ground_loss(coarse, of_tiles, ground_share),
    }
