from __future__ import annotations

import numpy as np

from models.masks.drawing import mask_box


def test_box_of_a_mask_is_half_open() -> None:
    mask_hw = np.zeros((4, 6), bool)
    mask_hw[1, 2] = mask_hw[1, 3] = mask_hw[2, 3] = True
    assert mask_box(mask_hw).tolist() == [2, 1, 4, 3]
    assert mask_box(np.zeros((3, 3), bool)).tolist() == [0, 0, 0, 0]
