"""Specks beside a mask and small holes in it, which a segmenter leaves and nobody means.

`SamAutomaticMaskGenerator` removes what is smaller than so many pixels; here the size of the mask itself decides.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from weaksam.arrays import Flags, Float32

SPECK_SHARE = 0.05  # of the largest part's area
HOLE_SHARE = 0.03  # of the mask's area
NO_CLICKS: Float32 = np.zeros((0, 2), np.float32)


def without_specks(
    logits_hw: npt.NDArray[np.floating], on_xy: Float32 = NO_CLICKS, off_xy: Float32 = NO_CLICKS
) -> Float32:
    """Return mask logits [h,w] (inside above 0) without small parts and small holes.

    What touches the edge is no hole. A part or a hole that someone clicked stays.

    Args:
        logits_hw: [h,w].
        on_xy, off_xy: [N,2] clicks on the object and beside it, in cells: column 0 reaches from 0 to 1.
    """
    inside_hw = logits_hw > 0
    parts, part_areas, _ = _labelled(inside_hw, connectivity=8)
    holes, hole_areas, at_edge = _labelled(~inside_hw, connectivity=4)
    speck = part_areas < SPECK_SHARE * part_areas.max(initial=0)
    small_hole = ~at_edge & (hole_areas < HOLE_SHARE * np.count_nonzero(inside_hw))
    for labels, small, clicks_xy in ((parts, speck, on_xy), (holes, small_hole, off_xy)):
        columns, rows = np.clip(clicks_xy.astype(np.int64), 0, np.array(labels.shape)[::-1] - 1).T
        small[labels[rows, columns]] = False
        small[0] = False  # what is neither a part nor a hole
    cleaned = np.asarray(logits_hw, np.float32)
    if speck.any() or small_hole.any():
        cleaned = np.where(speck[parts], np.float32(-1), np.where(small_hole[holes], np.float32(1), cleaned))
    return cleaned


def _labelled(mask_hw: Flags, connectivity: int) -> tuple[npt.NDArray[np.int32], Float32, Flags]:
    """Return what hangs together: a map of labels from 1, and by label the area and whether it touches the edge."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask_hw.astype(np.uint8), connectivity=connectivity)
    left, top, width, height, areas = (stats[:, column] for column in range(5))
    rows, columns = mask_hw.shape
    at_edge = (left == 0) | (top == 0) | (left + width == columns) | (top + height == rows)
    areas[0] = 0  # the rest
    return np.asarray(labels, np.int32), np.asarray(areas, np.float32), np.asarray(at_edge, np.bool_)
