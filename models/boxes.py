"""Boxes as half-open ``x0, y0, x1, y1`` rows in pixels: areas, overlaps, suppression."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from weaksam.arrays import Flags, Float32, Int64

# A box that is narrower, in whatever pixels it is given, shows nothing.
MIN_BOX_SIDE_PX = 1.0


def box_areas(boxes_xyxy: Float32) -> Float32:
    """Return areas [N] in square pixels of boxes [N,4]; an inverted box has area 0."""
    sides_wh = np.clip(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0, None)
    return np.asarray(sides_wh[:, 0] * sides_wh[:, 1], dtype=np.float32)


def pairwise_intersection(first_xyxy: Float32, second_xyxy: Float32) -> Float32:
    """Return intersection areas [N,M] in square pixels of boxes [N,4] with boxes [M,4]."""
    # Corner by corner: numpy is ten times slower over a last axis of two.
    left, top, right, bottom = np.ascontiguousarray(first_xyxy.T)[:, :, None]
    others_left, others_top, others_right, others_bottom = np.ascontiguousarray(second_xyxy.T)
    widths = np.minimum(right, others_right) - np.maximum(left, others_left)
    heights = np.minimum(bottom, others_bottom) - np.maximum(top, others_top)
    return np.asarray(np.clip(widths, 0, None) * np.clip(heights, 0, None), dtype=np.float32)


def pairwise_iou(first_xyxy: Float32, second_xyxy: Float32) -> Float32:
    """Return the intersection over union [N,M] of boxes [N,4] with boxes [M,4]; 0 if both are empty."""
    intersection = pairwise_intersection(first_xyxy, second_xyxy)
    union = box_areas(first_xyxy)[:, None] + box_areas(second_xyxy)[None, :] - intersection
    return np.asarray(intersection / np.maximum(union, 1e-9), dtype=np.float32)


def reach_a_pixel(boxes_xyxy: Float32) -> Flags:
    """Return [N] which boxes [N,4] have sides of `MIN_BOX_SIDE_PX` at least."""
    wide: Flags = np.all(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2] >= MIN_BOX_SIDE_PX, axis=1)
    return wide


def points_in_boxes(points_xy: Float32, boxes_xyxy: Float32) -> npt.NDArray[np.bool_]:
    """Return [N,M] which points [N,2] lie in which boxes [M,4]; the right and bottom edges are outside."""
    points = points_xy[:, None]  # [N,1,2]
    inside: npt.NDArray[np.bool_] = np.all((points >= boxes_xyxy[:, :2]) & (points < boxes_xyxy[:, 2:]), axis=-1)
    return inside


def nms(boxes_xyxy: Float32, scores: Float32, iou_threshold: float) -> Int64:
    """Greedy non-maximum suppression.

    Args:
        boxes_xyxy: [N,4].
        scores: [N]; ties keep the earlier box.
        iou_threshold: a box goes when its IoU with a kept, better one is above this.

    Returns:
        Indices of the kept boxes, best first.
    """
    order = np.argsort(-scores, kind="stable")
    overlaps = pairwise_iou(boxes_xyxy[order], boxes_xyxy[order]) > iou_threshold
    alive = np.ones(len(order), dtype=bool)
    for rank in range(len(order)):
        if alive[rank]:
            alive[rank + 1 :] &= ~overlaps[rank, rank + 1 :]
    return np.asarray(order[alive], dtype=np.int64)


def enlarge_boxes(boxes_xyxy: Float32, margin: float, size_hw: tuple[int, int]) -> Float32:
    """Return boxes [N,4] enlarged at each side by a share of their own, within an image of ``size_hw``."""
    grown_wh = np.float32(margin) * (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2])
    return clip_boxes(boxes_xyxy + np.concatenate([-grown_wh, grown_wh], axis=1), size_hw)


def clip_boxes(boxes_xyxy: Float32, size_hw: tuple[int, int]) -> Float32:
    """Return boxes [N,4] cut to an image of ``size_hw`` pixels."""
    height, width = size_hw
    return np.clip(boxes_xyxy, 0, np.array([width, height, width, height], np.float32)).astype(np.float32)
