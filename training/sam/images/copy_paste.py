"""Objects cut out of one photograph and pasted over another: several things, some hidden behind others."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from models.masks.drawing import mask_box
from weaksam.arrays import ImageU8, Masks

# Side of a pasted object in the image's longer one, both as square roots of areas.
PASTED_SHARES = (0.06, 0.5)
MAX_ENLARGEMENT = 2.5
GAINS = (0.8, 1.2)
# Of an object that a pasted one covers, the part that must be left for it to be asked for.
MIN_VISIBLE_SHARE = 0.25


@dataclass(frozen=True)
class CutOut:
    """An object's own pixels: ``rgb_hwc_u8`` [h,w,3] of its box and ``mask_hw`` [h,w]."""

    rgb_hwc_u8: ImageU8
    mask_hw: npt.NDArray[np.bool_]


def cut_out(image_hwc_u8: ImageU8, mask_hw: npt.NDArray[np.bool_]) -> CutOut:
    """Return the object's box of an image [H,W,3] and its mask [H,W], which must not be empty."""
    left, top, right, bottom = mask_box(mask_hw).astype(int).tolist()
    return CutOut(image_hwc_u8[top:bottom, left:right], mask_hw[top:bottom, left:right])


def paste(rng: np.random.Generator, image_hwc_u8: ImageU8, masks: Masks, thing: CutOut) -> tuple[ImageU8, Masks]:
    """Return the image [H,W,3] with the object somewhere on it, at a random size, and the masks [N,H,W] now visible.

    The pasted object covers the others: its mask is the last, and it is taken out of theirs.
    """
    rgb, alpha = _scaled(rng, thing, max(image_hwc_u8.shape[:2]))
    centre_yx = rng.uniform(0, 1, 2) * image_hwc_u8.shape[:2]
    corner_yx = np.round(centre_yx - np.array(alpha.shape) / 2).astype(int)
    rows, own_rows = _overlap(int(corner_yx[0]), alpha.shape[0], image_hwc_u8.shape[0])
    columns, own_columns = _overlap(int(corner_yx[1]), alpha.shape[1], image_hwc_u8.shape[1])
    rgb, alpha = rgb[own_rows, own_columns], alpha[own_rows, own_columns, None]
    pasted = image_hwc_u8.copy()
    pasted[rows, columns] = np.round(alpha * rgb + (1 - alpha) * pasted[rows, columns])
    covering = np.zeros(image_hwc_u8.shape[:2], np.bool_)
    covering[rows, columns] = alpha[..., 0] > 0.5
    visible = masks & ~covering
    kept = visible.sum((1, 2)) >= MIN_VISIBLE_SHARE * masks.sum((1, 2))
    return pasted, np.concatenate([visible[kept], covering[None]])


def _scaled(
    rng: np.random.Generator, thing: CutOut, longer_px: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return colours [h,w,3] and opacity [h,w] of the object, resized, perhaps mirrored, a little darker or lighter."""
    wanted_px = longer_px * math.exp(rng.uniform(*np.log(PASTED_SHARES)))
    scale = min(MAX_ENLARGEMENT, wanted_px / math.sqrt(thing.mask_hw.sum()))
    height, width = (max(1, min(longer_px, round(scale * side))) for side in thing.mask_hw.shape)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    rgb = cv2.resize(thing.rgb_hwc_u8, (width, height), interpolation=interpolation).astype(np.float32)
    alpha = cv2.resize(thing.mask_hw.astype(np.float32), (width, height), interpolation=interpolation)
    rgb = np.clip(rgb * rng.uniform(*GAINS), 0, 255)
    mirrored = -1 if rng.random() < 0.5 else 1
    return rgb[:, ::mirrored].astype(np.float32), alpha[:, ::mirrored].astype(np.float32)


def _overlap(start: int, length: int, limit: int) -> tuple[slice, slice]:
    """Return where a run that starts at ``start`` lies within 0 to ``limit``, and which part of the run that is."""
    first, end = max(0, start), max(0, min(limit, start + length))
    return slice(first, end), slice(first - start, end - start)
