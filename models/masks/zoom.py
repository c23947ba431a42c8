"""Zoom: a second look at the part of an image that holds a small object, enlarged to the segmenter's whole input.

A compact SAM's masks of small objects are coarse, for their outlines are a few cells long. Of the two looks, the one is
taken that the network itself thinks better of, level by level. Parts come in two sizes and in steps of an eighth, so
that prompts near each other share one, and its encode.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from models.letterbox import Letterbox, Part
from models.masks.levels import Level
from weaksam.arrays import Float32

# Chosen by the masks' IoU on photographs and on generated scenes: docs/results.md.
ROOM = 3.0
MAX_HALVINGS = 2
STEPS = 8


def better_levels(first_look: Sequence[Level], second_look: Sequence[Level]) -> list[Level]:
    """Return each level of one prompt from the look at the image or at its part, by the predicted IoU.

    A level that may reach out of the part, such as the group that the object is one of, stays as it was.
    """
    return [
        second if second.predicted_iou >= first.predicted_iou and _fits(first, second.look.letterbox) else first
        for first, second in zip(first_look, second_look, strict=True)
    ]


def zoom_parts(boxes_xyxy_px: Float32, image_hw: tuple[int, int]) -> list[Part | None]:
    """Return the part to look at for each of several boxes [N,4], as `zoom_part`: as few parts as serve them all.

    The largest box chooses first. A box that lies well inside a part that was chosen already takes that one.
    """
    order = np.argsort(-(boxes_xyxy_px[:, 2:] - boxes_xyxy_px[:, :2]).max(axis=1), kind="stable")
    parts: list[Part | None] = [None] * len(boxes_xyxy_px)
    for row in order.tolist():
        own = zoom_part(boxes_xyxy_px[row], image_hw)
        chosen = (part for part in parts if part is not None and _lies_well_inside(boxes_xyxy_px[row], part, image_hw))
        parts[row] = own and next(chosen, own)
    return parts


def zoom_part(box_xyxy_px: Float32, image_hw: tuple[int, int]) -> Part | None:
    """Return the part of an image to look at for the object in a box, or None if the object is too large for one.

    Args:
        box_xyxy_px: [4] in pixels of the image.
        image_hw: of the image.

    Returns:
        x0, y0, x1, y1 in whole pixels: half or a quarter of the image's longer side, cut where the image is
        narrower, and at least `ROOM` times as long as the box. The box lies near its middle.
    """
    longest_px = float(max(box_xyxy_px[2:] - box_xyxy_px[:2]))
    longer_side_px = max(image_hw)
    if longest_px <= 0 or ROOM * longest_px > longer_side_px / 2:
        return None
    halvings = min(MAX_HALVINGS, math.floor(math.log2(longer_side_px / (ROOM * longest_px))))
    side_px = longer_side_px / 2**halvings
    if side_px < 1:
        return None
    centre_xy = (box_xyxy_px[:2] + box_xyxy_px[2:]).astype(np.float64) / 2
    x0, x1 = _extent(centre_xy[0], side_px, image_hw[1])
    y0, y1 = _extent(centre_xy[1], side_px, image_hw[0])
    return x0, y0, x1, y1


def shrink_for_zoom(image_hwc_u8: npt.NDArray[np.uint8], side_px: int) -> npt.NDArray[np.uint8]:
    """Return an image [H,W,3] no larger than a segmenter with an input of ``side_px`` can make use of.

    The smallest part, enlarged, has then as many pixels as its input.
    """
    height, width = image_hwc_u8.shape[:2]
    scale = side_px * 2**MAX_HALVINGS / max(height, width)
    if scale >= 1:
        return image_hwc_u8
    size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image_hwc_u8, size_wh, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _fits(level: Level, letterbox: Letterbox) -> bool:
    box_xyxy_px, part_xyxy = level.box_xyxy_px(), letterbox.part_xyxy
    if part_xyxy is None:
        return True
    return bool(box_xyxy_px.any()) and _lies_well_inside(box_xyxy_px, part_xyxy, letterbox.image_hw)


def _lies_well_inside(box_xyxy_px: Float32, part_xyxy: Part, image_hw: tuple[int, int]) -> bool:
    """Say whether half the longer side of a box [4] is left on all sides, or the image ends there."""
    room_px = float(max(box_xyxy_px[2:] - box_xyxy_px[:2])) / 2
    height, width = image_hw
    x0, y0, x1, y1 = part_xyxy
    low_xy, high_xy = np.maximum(box_xyxy_px[:2] - room_px, 0), np.minimum(box_xyxy_px[2:] + room_px, (width, height))
    return bool((low_xy >= (x0, y0)).all() and (high_xy <= (x1, y1)).all())


def _extent(centre_px: float, side_px: float, length_px: int) -> tuple[int, int]:
    """Return where the part begins and ends along one axis of the image."""
    extent_px = min(side_px, length_px)
    step_px = side_px / STEPS
    start_px = min(max(round((centre_px - extent_px / 2) / step_px) * step_px, 0.0), length_px - extent_px)
    first = round(start_px)
    return first, min(max(round(start_px + extent_px), first + 1), length_px)
