from __future__ import annotations

import numpy as np

from weaksam.formats.polygons import mask_iou


def test_iou_of_masks() -> None:
    mask_hw = np.zeros((4, 6), bool)
    mask_hw[1, 2] = mask_hw[1, 3] = mask_hw[2, 3] = True
    assert mask_iou(mask_hw, np.roll(mask_hw, 1, axis=1)) == 1 / 5
    assert mask_iou(np.zeros((2, 2), bool), np.zeros((2, 2), bool)) == 0
