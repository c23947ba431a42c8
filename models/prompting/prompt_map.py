"""Where a segmenter itself says that a point would give a good mask of a thing."""

from __future__ import annotations

import cv2
import numpy as np

from models.letterbox import Letterbox
from models.prompting.peaks import valid_cells_hw
from models.settings import PromptSettings
from weaksam.arrays import Float32

PEAK_CELLS = 3  # side of the window within which a peak is the highest


def prompt_map_points(map_b1hw: Float32 | None, letterbox: Letterbox, settings: PromptSettings) -> Float32 | None:
    """Return the maxima [N,2] of an image's prompt map, x, y in pixels of the graph's input, highest first.

    None says that grids take its place: the segmenter has no map, or the settings want none of its maxima.

    Args:
        map_b1hw: [1,1,e,e] in 0 to 1, over the whole square input.
        letterbox: of the image; padding has no points.
        settings: say how high a maximum must be, and how many there may be.
    """
    if map_b1hw is None or settings.map_max_count == 0:
        return None
    stride = letterbox.side_px / map_b1hw.shape[-1]
    rows, columns = valid_cells_hw(letterbox.valid_hw, stride)
    seen_hw = np.ascontiguousarray(map_b1hw[0, 0, :rows, :columns])
    highest_hw = cv2.dilate(seen_hw, np.ones((PEAK_CELLS, PEAK_CELLS), np.uint8))
    ys, xs = np.nonzero((seen_hw >= highest_hw) & (seen_hw >= settings.map_min_value))
    order = np.argsort(-seen_hw[ys, xs], kind="stable")[: settings.map_max_count]
    points_xy = (np.stack([xs, ys], axis=1)[order] + 0.5) * stride
    inside_xy: Float32 = np.minimum(points_xy, np.array(letterbox.valid_hw[::-1]) - 1).astype(np.float32)
    return inside_xy
