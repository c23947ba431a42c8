"""Colours: where a segmenter is in doubt, the colours inside and around its mask decide.

A compact SAM has learnt from few kinds of things, and draws the outlines of others less well. Their colours often tell
them from what is around them. Boykov and Jolly (2001) and GrabCut (Rother et al. 2004) compare how likely a pixel's
colour is in the object and in the background. So does this, with the segmenter's own mask in place of a user's strokes,
and adds the comparison to the mask's logits.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from models.letterbox import Letterbox
from models.masks.drawing import mask_box, paste_mask
from models.masks.specks import NO_CLICKS, without_specks
from weaksam.arrays import Float32, ImageU8, Mask

# All were chosen by the masks' IoU on validation images: docs/experiments/segmenter.md.
MARGIN_SHARE, MIN_MARGIN_CELLS = 0.3, 4.0  # of the mask's box: the background that its colours are compared with
SAMPLES_PER_CELL = 4.0  # at most, along each axis: finer outlines would be guesses
BIN_BITS = 4  # 16 shades each of red, green and blue
MIN_LIKELIHOOD, MAX_LOG_RATIO = 3e-4, 4.0
SURE_LOGIT = 2.0  # colours count by exp(-|logit| / SURE_LOGIT)
SMOOTHING = np.array([0.25, 0.5, 0.25])  # of neighbouring shades
BLUR_PX = 0.5


def draw_by_colours(
    logits_hw: npt.NDArray[np.floating],
    square_hwc_u8: ImageU8,
    letterbox: Letterbox,
    weight: float,
    on_xy: Float32 = NO_CLICKS,
    off_xy: Float32 = NO_CLICKS,
) -> Mask:
    """Return the mask [H,W] of the image, as `Letterbox.mask_to_image` does, with outlines moved by colours.

    Args:
        logits_hw: [h,h] over the segmenter's input, inside above 0.
        square_hwc_u8: that input, [S,S,3].
        letterbox: of that input.
        weight: of the colours, see `move_by_colours`.
        on_xy, off_xy: [N,2] clicks on the object and beside it, in cells of the logits; see `without_specks`.
    """
    window_xyxy = _window(logits_hw, letterbox)
    if window_xyxy is None:
        return np.zeros(letterbox.image_hw, np.bool_, order="F")
    origin_xy, extent_xy = window_xyxy[:2], window_xyxy[2:] - window_xyxy[:2]
    cell_px = letterbox.side_px / len(logits_hw)
    pixels_per_cell = cell_px / min(letterbox.scale_xy)
    grid_wh = np.ceil(extent_xy * min(pixels_per_cell, SAMPLES_PER_CELL)).astype(int)
    logits = _sampled(logits_hw.astype(np.float32), window_xyxy, grid_wh)
    pixels = _sampled(square_hwc_u8, window_xyxy * cell_px, grid_wh)
    clicks_xy = ((xy - origin_xy) * grid_wh / extent_xy for xy in (on_xy, off_xy))
    moved = without_specks(move_by_colours(logits, pixels, weight), *(xy.astype(np.float32) for xy in clicks_xy))
    frame_xyxy = letterbox.points_to_image((window_xyxy * cell_px).astype(np.float32).reshape(2, 2)).ravel()
    return paste_mask(moved, frame_xyxy, letterbox.image_hw)


def move_by_colours(logits_hw: Float32, image_hwc_u8: ImageU8, weight: float) -> Float32:
    """Return logits [h,w] moved towards what the colours of an image [h,w,3] say; sure ones hardly move.

    Args:
        logits_hw: of a mask and what is around it.
        image_hwc_u8: RGB.
        weight: of the logarithm of the likelihoods' ratio; 0 leaves the logits as they are.
    """
    inside_hw = 0.5 + 0.5 * np.tanh(0.5 * logits_hw)  # their sigmoid, for logits of any size
    log_ratio = cv2.GaussianBlur(_log_ratio(image_hwc_u8, inside_hw), (0, 0), BLUR_PX)
    doubt = np.exp(-np.abs(logits_hw) / SURE_LOGIT)
    return np.asarray(logits_hw + weight * doubt * log_ratio, np.float32)


def _log_ratio(image_hwc_u8: ImageU8, inside_hw: npt.NDArray[np.floating]) -> Float32:
    """Return [h,w]: the logarithm of how much likelier each pixel's colour is inside than outside."""
    shades = (image_hwc_u8 >> (8 - BIN_BITS)).astype(np.uint16)
    bins = (shades[..., 0] << 2 * BIN_BITS | shades[..., 1] << BIN_BITS | shades[..., 2]).ravel().astype(np.intp)
    everywhere = np.bincount(bins, minlength=8**BIN_BITS).astype(np.float64)
    inside = np.bincount(bins, inside_hw.ravel(), 8**BIN_BITS).astype(np.float64)
    outside = everywhere - inside
    ratio = np.log((_likelihoods(inside) + MIN_LIKELIHOOD) / (_likelihoods(outside) + MIN_LIKELIHOOD))
    return np.take(ratio.clip(-MAX_LOG_RATIO, MAX_LOG_RATIO).astype(np.float32), bins).reshape(inside_hw.shape)


def _likelihoods(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the share of each colour [B^3], with some of its neighbours'."""
    shades = 2**BIN_BITS
    keep = np.ones(1)
    red_green = counts.reshape(shades, shades, shades)  # OpenCV takes blue for channels
    smooth = cv2.sepFilter2D(red_green, -1, SMOOTHING, SMOOTHING, borderType=cv2.BORDER_REPLICATE)
    smooth = cv2.sepFilter2D(smooth.reshape(-1, shades), -1, SMOOTHING, keep, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(smooth.ravel() / max(smooth.sum(), 1.0), np.float64)


def _window(logits_hw: npt.NDArray[np.floating], letterbox: Letterbox) -> npt.NDArray[np.float64] | None:
    """Return the mask's box [4] with a margin, in cells of the logits; None for an empty mask."""
    corners = mask_box(logits_hw > 0).astype(np.float64).reshape(2, 2)
    if not corners.any():
        return None
    margin_xy = np.maximum(MARGIN_SHARE * (corners[1] - corners[0]), MIN_MARGIN_CELLS)
    valid_wh = np.array(letterbox.valid_hw[::-1]) * len(logits_hw) / letterbox.side_px
    window = np.clip([corners[0] - margin_xy, corners[1] + margin_xy], 0, valid_wh).ravel()
    return window if (window[:2] < window[2:]).all() else None


def _sampled(
    source: npt.NDArray[Any], window_xyxy: npt.NDArray[np.float64], grid_wh: npt.NDArray[np.int64]
) -> npt.NDArray[Any]:
    """Return a window [4] of an array [h,w] or [h,w,3], given in its cells, on a grid of so many points (bilinear)."""
    step_xy = (window_xyxy[2:] - window_xyxy[:2]) / grid_wh
    first_xy = window_xyxy[:2] + step_xy / 2 - 0.5
    return cv2.warpAffine(
        source,
        np.array([[step_xy[0], 0, first_xy[0]], [0, step_xy[1], first_xy[1]]]),
        (int(grid_wh[0]), int(grid_wh[1])),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
