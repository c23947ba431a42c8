"""What a segmenter must beat: answers to a box that need no learning."""

from __future__ import annotations

import cv2
import numpy as np

from weaksam.arrays import Float32, ImageU8, Mask

GRABCUT_ROUNDS = 5
# GrabCut learns the ground's colours from a frame around the box; its time grows with the frame's area.
MARGIN_SHARE, MIN_MARGIN_PX = 0.3, 4
MAX_SIDE_PX = 192


def filled_box(size_hw: tuple[int, int], box_xyxy: Float32) -> Mask:
    """Return the mask [H,W] of the pixels whose centres lie in a box, in pixels of the image."""
    left, top, right, bottom = np.ceil(box_xyxy - 0.5).astype(int).clip(0).tolist()
    mask = np.zeros(size_hw, np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def grabcut_mask(image_hwc_u8: ImageU8, box_xyxy: Float32) -> Mask:
    """Return what OpenCV's GrabCut (Rother et al. 2004) cuts out of a box; all of the box where it finds nothing.

    It works on the box with a frame around it, shrunk where that is large.
    """
    filled = filled_box(image_hwc_u8.shape[:2], box_xyxy)
    rows, columns = _framed(image_hwc_u8.shape[:2], box_xyxy)
    window, inside = image_hwc_u8[rows, columns], filled[rows, columns]
    scale = min(1.0, MAX_SIDE_PX / max(inside.shape))
    small_wh = tuple(max(1, round(scale * side)) for side in inside.shape[::-1])
    small = cv2.resize(window, small_wh, interpolation=cv2.INTER_AREA)
    labels = np.where(cv2.resize(inside.astype(np.uint8), small_wh) > 0, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    if not (labels == cv2.GC_BGD).any():
        return filled
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small[..., ::-1].copy(), labels, (0, 0, 0, 0), *models, GRABCUT_ROUNDS, cv2.GC_INIT_WITH_MASK)
    cut = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    if not cut.any():
        return filled
    mask = np.zeros_like(filled)
    mask[rows, columns] = (cv2.resize(cut, inside.shape[::-1]) > 0.5) & inside
    return mask


def _framed(size_hw: tuple[int, int], box_xyxy: Float32) -> tuple[slice, slice]:
    corners = box_xyxy.reshape(2, 2)
    margin_px = np.maximum(MARGIN_SHARE * (corners[1] - corners[0]), MIN_MARGIN_PX)
    left, top = np.floor(corners[0] - margin_px).astype(int).clip(0).tolist()
    right, bottom = np.ceil(corners[1] + margin_px).astype(int).clip(0, size_hw[::-1]).tolist()
    return slice(top, bottom), slice(left, right)
