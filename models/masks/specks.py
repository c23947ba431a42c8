"""Specks beside a mask and small holes in it, which a segmenter leaves and nobody means.

`SamAutomaticMaskGenerator` removes what is smaller than so many pixels; here the size of the mask itself decides.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from cv2.typing import MatLike

from weaksam.arrays import Flags, Float32, Int64

SPECK_SHARE = 0.05  # of the largest part's area
HOLE_SHARE = 0.03  # of the mask's area
NO_CLICKS: Float32 = np.zeros((0, 2), np.float32)
PARENT = 3  # its place in the rows of OpenCV's hierarchy


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
    outlines, nesting = cv2.findContours(inside_hw.astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_NONE)
    cleaned = np.array(logits_hw, np.float32)
    if len(outlines) < 2:
        return cleaned
    parents = nesting[0, :, PARENT].astype(np.int64)
    is_hole = _depths(parents) % 2 == 1
    areas = _areas(outlines, parents, is_hole)
    speck = ~is_hole & (areas < SPECK_SHARE * areas[~is_hole].max())
    small_hole = is_hole & (areas < HOLE_SHARE * areas[~is_hole].sum())
    filled_hw = _drawn(outlines, small_hole, inside_hw.shape, off_xy) & ~inside_hw
    removed_hw = _drawn(outlines, speck, inside_hw.shape, on_xy) & inside_hw
    cleaned[filled_hw], cleaned[removed_hw] = 1, -1
    return cleaned


def _depths(parents: Int64) -> Int64:
    """Return how many outlines lie around each; its parent is the number of the next one around it, -1 for none."""
    depths = np.zeros(len(parents), np.int64)
    around = parents
    while (around >= 0).any():
        depths += around >= 0
        around = np.where(around >= 0, parents[around], -1)
    return depths


def _areas(outlines: Sequence[MatLike], parents: Int64, is_hole: Flags) -> npt.NDArray[np.float64]:
    """Return the cells of each part and hole, without what lies in it.

    An outline runs through the centres of a part's outermost cells; that of a hole through those of the cells around
    it. Pick's theorem gives the cells on it and inside, or those inside alone.
    """
    enclosed = np.array([cv2.contourArea(outline) for outline in outlines]) + 1
    half_length = np.array([len(outline) for outline in outlines]) / 2
    areas = enclosed + np.where(is_hole, -half_length, half_length)
    nested = parents >= 0
    return areas - np.bincount(parents[nested], areas[nested], len(areas))


def _drawn(outlines: Sequence[MatLike], chosen: Flags, size_hw: tuple[int, ...], clicks_xy: Float32) -> Flags:
    """Return a mask [h,w] of the chosen outlines that hold no click, filled."""
    drawn_hw = np.zeros(size_hw, np.uint8)
    cells_xy = np.clip(clicks_xy.astype(np.int64), 0, np.array(size_hw)[::-1] - 1).tolist()
    for number in np.flatnonzero(chosen).tolist():
        if not any(cv2.pointPolygonTest(outlines[number], (x, y), measureDist=False) >= 0 for x, y in cells_xy):
            cv2.drawContours(drawn_hw, outlines, number, 1, cv2.FILLED)
    return drawn_hw.view(np.bool_)
