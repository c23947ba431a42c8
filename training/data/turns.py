"""Boxes and masks that were drawn on an image as it is stored, in the frame of the upright image."""

from __future__ import annotations

import numpy as np

from weaksam.formats.run_lengths import decode_rle, encode_rle
from weaksam.mask_schemas import Rle
from weaksam.schemas import Box


def turn_box(box_xyxy: Box, stored_size_hw: tuple[int, int], orientation: int) -> Box:
    """Return a box of the stored image in the upright one, by EXIF's orientation 1 to 8; pixels, half-open."""
    height, width = stored_size_hw
    x0, y0, x1, y1 = box_xyxy
    if orientation in (2, 3, 7, 8):  # mirrored along x in the stored frame
        x0, x1 = width - x1, width - x0
    if orientation in (3, 4, 6, 7):  # mirrored along y
        y0, y1 = height - y1, height - y0
    return (y0, x0, y1, x1) if orientation in (5, 6, 7, 8) else (x0, y0, x1, y1)


def turn_mask(rle: Rle, orientation: int) -> Rle:
    """Return a mask of the stored image in the upright one."""
    mask = decode_rle(rle)
    if orientation in (2, 3, 7, 8):
        mask = mask[:, ::-1]
    if orientation in (3, 4, 6, 7):
        mask = mask[::-1]
    return encode_rle(np.ascontiguousarray(mask.T if orientation in (5, 6, 7, 8) else mask))
