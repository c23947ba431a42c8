"""Boxes and masks of photographs that EXIF turns upright."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.image import read_image
from training.data.turns import turn_box, turn_mask
from weaksam.files.opened_image import EXIF_ORIENTATION
from weaksam.formats.run_lengths import decode_rle, encode_rle

STORED_HW = (60, 80)
BOX = (10, 5, 30, 17)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_and_masks_turn_as_the_image_does(tmp_path: Path, orientation: int) -> None:
    stored = np.zeros((*STORED_HW, 3), np.uint8)
    stored[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 255
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    upright = read_image(tmp_path / "a.png")[..., 0] > 0

    x0, y0, x1, y1 = (int(side) for side in turn_box(BOX, STORED_HW, orientation))

    assert upright.sum() == upright[y0:y1, x0:x1].sum() == (x1 - x0) * (y1 - y0)
    assert np.array_equal(decode_rle(turn_mask(encode_rle(stored[..., 0] > 0), orientation)), upright)
