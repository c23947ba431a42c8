"""Where to ask: targets and loss of the compact SAM's prompt map, after CenterNet (arXiv 1904.07850)."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from models.masks.drawing import mask_box
from models.nets.backbone import STRIDE_PX
from weaksam.arrays import Float32, Masks

# Width of the hill around an object's innermost point, as a share of the square root of its area, in cells at least.
SPREAD_SHARE, MIN_SPREAD_CELLS = 0.12, 0.6
# Of a cell outside all masks of an image whose objects are not all known: it may well be a thing.
UNKNOWN_WEIGHT = 0.1
FOCAL_GAMMA, NEAR_GAMMA = 2.0, 4.0


def prompt_map_targets(masks: Masks, side_px: int, *, complete: bool) -> tuple[Float32, Float32]:
    """Return what the prompt map [e,e] is to be, 1 at the innermost cell of each object, and the weight of each cell.

    Args:
        masks: [N,T,T] of the objects of a square image, none of them empty.
        side_px: side S of the network's input, e = S / 8.
        complete: whether these are all its objects.
    """
    cells = side_px // STRIDE_PX
    cell = masks.shape[-1] / cells
    heat = np.zeros((cells, cells), np.float32)
    index = np.arange(cells)
    for mask in masks:
        x, y = (np.array(innermost_point(mask)) / cell).astype(int)
        spread = max(MIN_SPREAD_CELLS, SPREAD_SHARE * float(np.sqrt(mask.sum())) / cell)
        hill = np.exp(-((index[:, None] - y) ** 2 + (index - x) ** 2) / (2 * spread**2))
        heat = np.maximum(heat, hill.astype(np.float32))
    if complete:
        return heat, np.ones_like(heat)
    annotated = np.asarray(masks.any(axis=0), np.float32)
    known = cv2.resize(annotated, (cells, cells), interpolation=cv2.INTER_AREA)
    return heat, np.maximum(known, UNKNOWN_WEIGHT).astype(np.float32)


def innermost_point(mask_hw: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Return x, y of the pixel's centre of a mask [H,W] that is farthest from the mask's edge."""
    left, top, right, bottom = mask_box(mask_hw).astype(int).tolist()
    own = np.pad(mask_hw[top:bottom, left:right].astype(np.uint8), 1)
    depth = cv2.distanceTransform(own, cv2.DIST_L2, 3)[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return left + float(column) + 0.5, top + float(row) + 0.5


def prompt_map_loss(logits: torch.Tensor, heat: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Penalty-reduced focal loss of maps [B,e,e], over the number of objects: near a peak a miss costs little."""
    probability = logits.sigmoid()
    peak = heat == 1
    found = (1 - probability) ** FOCAL_GAMMA * functional.logsigmoid(logits)
    quiet = (1 - heat) ** NEAR_GAMMA * probability**FOCAL_GAMMA * functional.logsigmoid(-logits)
    return -torch.where(peak, found, weight * quiet).sum() / peak.sum().clamp(min=1)
