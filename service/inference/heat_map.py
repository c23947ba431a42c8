"""A class activation map as an image that people can look at."""

from __future__ import annotations

import cv2
import numpy as np

from models.letterbox import Letterbox
from models.prompting.peaks import normalise, valid_cells_hw
from weaksam.arrays import Float32

# Maps have 10 to 40 cells a side: more pixels would show nothing more.
SIDE_PX = 160


def heat_map_png(maps_khw: Float32, letterbox: Letterbox) -> bytes:
    """Return the mean of one class's maps [K,h,w] as a grey PNG of the image's shape, 255 at the highest place.

    Each kind of map is stretched to 0..1 first, as the search for peaks does. A flat map is black.
    """
    rows, columns = valid_cells_hw(letterbox.valid_hw, letterbox.side_px / maps_khw.shape[-1])
    mean_hw = np.mean([normalise(map_hw) for map_hw in maps_khw[:, :rows, :columns]], axis=0)
    whole_hw = np.zeros(maps_khw.shape[1:], np.float32)
    whole_hw[:rows, :columns] = mean_hw
    smooth_hw = np.asarray(cv2.resize(whole_hw, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_LINEAR), np.float32)
    height, width = (max(1, round(length * SIDE_PX / letterbox.side_px)) for length in letterbox.valid_hw)
    _, data = cv2.imencode(".png", (normalise(smooth_hw[:height, :width]) * 255).round().astype(np.uint8))
    return data.tobytes()
