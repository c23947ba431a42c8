"""How well boxes fit a class's activation map: the soft IoU of a box with what is activated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from weaksam.arrays import Float32

LOGIT_KIND = "coarse"  # of all classifiers the kind of map that holds logits


def cam_overlaps(
    maps_kchw: Float32,
    boxes_xyxy_px: Float32,
    side_px: int,
    valid_hw: tuple[int, int],
    map_kinds: Sequence[str],
) -> Float32:
    """Return the overlap [P,C] of boxes with each class's map, from 0 to 1.

    It is the IoU of the box with the map's probabilities, as if these were shares of cells that the class covers: a box
    around a part covers little of them, one around a group much else.

    Args:
        maps_kchw: activation maps [K,C,h,w] over the whole square input; those of the kind `coarse` are looked at.
        boxes_xyxy_px: [P,4] in pixels of the square input.
        side_px: side of the square input in pixels.
        valid_hw: part of the input that holds the image, in pixels; padding shows nothing.
        map_kinds: names of the K kinds.
    """
    logits_chw = maps_kchw[list(map_kinds).index(LOGIT_KIND)].astype(np.float64)
    stride_px = side_px / logits_chw.shape[-1]
    covered = 1 / (1 + np.exp(-logits_chw))
    centres_px = (np.arange(logits_chw.shape[-1]) + 0.5) * stride_px
    covered *= (centres_px < valid_hw[0])[:, None] & (centres_px < valid_hw[1])
    x0, y0, x1, y1 = (boxes_xyxy_px / stride_px).T
    sums = np.pad(covered.cumsum(axis=1).cumsum(axis=2), ((0, 0), (1, 0), (1, 0)))
    inside = _sums_before(sums, x1, y1) - _sums_before(sums, x0, y1) - _sums_before(sums, x1, y0)
    inside += _sums_before(sums, x0, y0)
    areas = (x1 - x0) * (y1 - y0)
    union = areas + covered.sum(axis=(1, 2))[:, None] - inside
    overlaps: Float32 = (inside / np.maximum(union, 1e-9)).T.astype(np.float32)
    return overlaps


def _sums_before(sums: npt.NDArray[np.float64], x: Float32, y: Float32) -> npt.NDArray[np.float64]:
    """Return sums [C,P] over what lies left of and above points [P] in cells, from integral images [C,h+1,w+1]."""
    last = sums.shape[-1] - 1
    left, top = (np.clip(np.floor(places).astype(np.int64), 0, last - 1) for places in (x, y))
    share_x, share_y = np.clip(x - left, 0, 1), np.clip(y - top, 0, 1)
    above = sums[:, top, left] * (1 - share_x) + sums[:, top, left + 1] * share_x
    below = sums[:, top + 1, left] * (1 - share_x) + sums[:, top + 1, left + 1] * share_x
    before: npt.NDArray[np.float64] = above * (1 - share_y) + below * share_y
    return before
