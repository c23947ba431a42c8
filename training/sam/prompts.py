"""Prompts that the compact SAM is asked with in training, and clicks that correct its first answer."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch.nn import functional

from models.masks.drawing import mask_box
from models.prompting.prompts import BACKGROUND, BOTTOM_RIGHT, FOREGROUND, PADDING, TOP_LEFT
from weaksam.arrays import Float32, Mask

GROUP_POINTS = 3
NEGATIVE_SHARE = 0.25  # of the points of a group after the first
TIGHT_SHARE, LOOSE_SHARE = 0.3, 0.3  # of boxes; the others are jittered
MAX_LOOSE_SHARE = 0.15  # of the box's side, at each of its edges
JITTER_SHARE, MAX_JITTER_PX = 0.06, 12
# Negative points lie within the object's box made larger by this share of its side: elsewhere they would say nothing.
NEAR_SHARE = 0.3

Prompt = tuple[Float32, Float32]


def point_prompt(rng: np.random.Generator, mask_hw: Mask) -> Prompt:
    """Return a point inside a mask and a row of padding: coords [2,2] x, y in pixels and labels [2]."""
    point_xy = interior_points(rng, mask_hw, 1)[0]
    return np.array([point_xy, (0, 0)], np.float32), np.array([FOREGROUND, PADDING], np.float32)


def box_prompt(rng: np.random.Generator, mask_hw: Mask) -> Prompt:
    """Return a box around a mask, tight, loose or jittered: coords [2,2] of two corners and labels [2]."""
    corners = mask_box(mask_hw).reshape(2, 2)
    sides_wh = corners[1] - corners[0]
    kind = rng.random()
    if kind < TIGHT_SHARE:
        moves = np.zeros((2, 2))
    elif kind < TIGHT_SHARE + LOOSE_SHARE:
        moves = rng.uniform(0, MAX_LOOSE_SHARE, (2, 2)) * sides_wh * np.array([[-1], [1]])
    else:
        moves = np.clip(rng.normal(0, JITTER_SHARE, (2, 2)) * sides_wh, -MAX_JITTER_PX, MAX_JITTER_PX)
    moved = np.clip(corners + moves, 0, mask_hw.shape[::-1])
    return moved.astype(np.float32), np.array([TOP_LEFT, BOTTOM_RIGHT], np.float32)


def group_prompt(rng: np.random.Generator, mask_hw: Mask) -> Prompt:
    """Return several points of one object, some of them beside it: coords [3,2] x, y in pixels and labels [3]."""
    coords, labels = interior_points(rng, mask_hw, GROUP_POINTS), np.full(GROUP_POINTS, FOREGROUND, np.float32)
    beside_xy = near_points(rng, mask_hw, GROUP_POINTS)
    negative = (rng.random(GROUP_POINTS) < NEGATIVE_SHARE) & (np.arange(GROUP_POINTS) > 0) & (len(beside_xy) > 0)
    if negative.any():
        coords[negative], labels[negative] = beside_xy[negative], BACKGROUND
    return coords, labels


def interior_points(rng: np.random.Generator, mask_hw: Mask, count: int) -> Float32:
    """Return random points [count,2] of a mask [H,W], x, y in its pixels: row 0 and column 0 reach from 0 to 1."""
    # Half of the prompts lie well inside, as class activation peaks do; the others anywhere, as grid points do.
    depth = cv2.distanceTransform(np.pad(mask_hw.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    least = 0.5 * depth.max() if rng.random() < 0.5 else 0.0
    return _random_points(rng, mask_hw & (depth >= least), count)


def near_points(rng: np.random.Generator, mask_hw: Mask, count: int) -> Float32:
    """Return random points [count,2] close to a mask [H,W] and outside it; none where it fills all around it."""
    low_xy, high_xy = mask_box(mask_hw).reshape(2, 2)
    margin = NEAR_SHARE * (high_xy - low_xy) + 2
    left, top = np.floor(low_xy - margin).astype(int).clip(0)
    right, bottom = np.ceil(high_xy + margin).astype(int)
    near_hw = ~mask_hw[top:bottom, left:right]
    if not near_hw.any():
        return np.zeros((0, 2), np.float32)
    return _random_points(rng, near_hw, count) + np.array([left, top], np.float32)


def _random_points(rng: np.random.Generator, mask_hw: Mask, count: int) -> Float32:
    rows, columns = np.nonzero(mask_hw)
    picked = rng.integers(len(rows), size=count)
    jittered_xy = np.stack([columns[picked], rows[picked]], axis=1) + rng.random((count, 2))
    return np.asarray(jittered_xy, np.float32)


def correcting_clicks(
    logits: torch.Tensor, masks: torch.Tensor, draws: torch.Tensor, cell_px: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return for each answer a point where it is wrong, well inside the error where that has an inside.

    The point is positive where the mask lacks something and negative where it has too much. A faultless answer gets a
    positive point of the object.

    Args:
        logits: [P,h,w] of the answers.
        masks: [P,h,w] covered share of each cell, 0 to 1.
        draws: [P] random numbers in 0 to 1, which choose among the cells.
        cell_px: side of a cell in pixels of the input.

    Returns:
        coords [P,1,2] x, y in pixels and labels [P,1].
    """
    wanted = masks > 0.5
    wrong = (logits > 0) != wanted
    # Most errors are lines along an edge; nobody clicks there while something bigger is wrong.
    inner = functional.avg_pool2d(wrong.float()[:, None], 3, stride=1, padding=1)[:, 0] > 0.99
    choice = inner.flatten(1)
    for instead in (wrong, wanted, masks == masks.amax((1, 2), keepdim=True)):
        choice = torch.where(choice.any(dim=1, keepdim=True), choice, instead.flatten(1))
    ranks = choice.cumsum(dim=1)
    chosen = (ranks > (draws[:, None] * ranks[:, -1:]).floor()).float().argmax(dim=1)
    width = logits.shape[-1]
    coords = (torch.stack([chosen % width, chosen // width], dim=-1) + 0.5) * cell_px
    positive = (wanted | ~wrong).flatten(1).gather(1, chosen[:, None])
    return coords[:, None], positive.float()


def with_clicks(
    coords: torch.Tensor, labels: torch.Tensor, clicks: tuple[torch.Tensor, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return prompts [P,N,2] that are all points, or all boxes, with a click more; a lone point loses its padding."""
    kept = int((labels[0] != PADDING).sum())
    return torch.cat([coords[:, :kept], clicks[0]], dim=1), torch.cat([labels[:, :kept], clicks[1]], dim=1)
