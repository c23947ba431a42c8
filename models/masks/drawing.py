"""Instance masks: drawn from logits, and their boxes."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from weaksam.arrays import Mask

# A mask is drawn in strips of so many pixels, since its logits take four bytes each.
STRIP_PIXELS = 2**24


def paste_mask(
    logits_hw: npt.NDArray[np.floating], box_xyxy: npt.NDArray[np.float32], size_hw: tuple[int, int]
) -> Mask:
    """Return a mask [H,W], column-major, from logits [h,w] over a box [4] in its pixels (logit above 0).

    The box may reach over the image's edges; nothing outside it is in the mask.
    """
    mask_hw = np.zeros(size_hw, np.bool_, order="F")
    corners_xy = box_xyxy.astype(np.float64).reshape(2, 2)
    # The pixels whose centres lie inside the box.
    first_xy, end_xy = np.clip(np.ceil(corners_xy - 0.5).astype(np.int64), 0, size_hw[::-1])
    if (first_xy < end_xy).all():
        step_xy = np.array(logits_hw.shape[::-1]) / (corners_xy[1] - corners_xy[0])
        draw_mask(mask_hw, logits_hw, step_xy, -step_xy * corners_xy[0], first_xy, end_xy)
    return mask_hw


def draw_mask(
    mask_hw: Mask,
    logits_hw: npt.NDArray[np.floating],
    step_xy: npt.NDArray[np.float64],
    shift_xy: npt.NDArray[np.float64],
    first_xy: npt.NDArray[np.int64],
    end_xy: npt.NDArray[np.int64],
) -> None:
    """Set the pixels of a mask, within a window, where the logits under them are above 0 (bilinear).

    Args:
        step_xy, shift_xy: a point at ``x`` in the mask lies at ``step * x + shift`` in the logits, cells being 1 wide.
        first_xy, end_xy: the window, half-open.
    """
    rows = max(1, STRIP_PIXELS // int(end_xy[0] - first_xy[0]))
    for top in range(int(first_xy[1]), int(end_xy[1]), rows):
        bottom = min(top + rows, int(end_xy[1]))
        # One warp instead of upsample, crop and resize: centres of pixels are looked up in the logits directly.
        offset_x, offset_y = step_xy * (np.array([first_xy[0], top]) + 0.5) + shift_xy - 0.5
        warped = cv2.warpAffine(
            logits_hw.astype(np.float32),
            np.array([[step_xy[0], 0, offset_x], [0, step_xy[1], offset_y]]),
            (int(end_xy[0] - first_xy[0]), bottom - top),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        mask_hw[top:bottom, first_xy[0] : end_xy[0]] = warped > 0


def mask_box(mask_hw: Mask) -> npt.NDArray[np.float32]:
    """Tight half-open box [4] of a mask [H,W] in its pixels; zeros where the mask is empty."""
    rows, columns = np.flatnonzero(mask_hw.any(axis=1)), np.flatnonzero(mask_hw.any(axis=0))
    if not len(rows):
        return np.zeros(4, np.float32)
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
