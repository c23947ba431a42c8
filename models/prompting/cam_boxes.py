"""Boxes of the parts of class activation maps, as further prompts.

A box says more than a peak where a map shows the extent of a thing. DTH-CP cuts maps at a low and a high value for its
pseudo boxes, so that neighbours of one class, which a low value joins, come apart; here such boxes are prompts alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from models.prompting.peaks import CROSS, normalise, valid_cells_hw
from models.settings import PromptSettings
from weaksam.arrays import Float32

MIN_CELLS = 2


def cam_boxes(
    maps_kchw: Float32,
    class_indices: Sequence[int],
    side_px: int,
    valid_hw: tuple[int, int],
    settings: PromptSettings,
    map_kinds: Sequence[str],
) -> Float32:
    """Return boxes [B,4] in pixels of the square input, each once, the largest first.

    Args:
        maps_kchw: activation maps [K,C,h,w] over the whole square input. Those of single attention heads are left out.
        class_indices: the classes asked for.
        side_px: side of the square input in pixels.
        valid_hw: part of the input that holds the image, in pixels.
        settings: `cam_box_values`.
        map_kinds: names of the K kinds.
    """
    stride = side_px / maps_kchw.shape[-1]
    rows, columns = valid_cells_hw(valid_hw, stride)
    whole = [kind for kind, name in enumerate(map_kinds) if not name.startswith(CROSS)]
    maps = [normalise(maps_kchw[kind, label, :rows, :columns]) for label in class_indices for kind in whole]
    cells = {box for map_hw in maps for value in settings.cam_box_values for box in _part_boxes(map_hw >= value)}
    ordered = sorted(cells, key=lambda box: ((box[0] - box[2]) * (box[3] - box[1]), box))
    height, width = valid_hw
    boxes_xyxy: Float32 = (np.array(ordered).reshape(-1, 4) * stride).clip(max=(width, height) * 2).astype(np.float32)
    return boxes_xyxy


def _part_boxes(mask_hw: npt.NDArray[np.bool_]) -> list[tuple[int, int, int, int]]:
    """Return the boxes, in cells, of the connected parts of a mask; cells that touch at a corner are connected."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask_hw.astype(np.uint8), connectivity=8)
    return [(x, y, x + width, y + height) for x, y, width, height, area in stats[1:].tolist() if area >= MIN_CELLS]
