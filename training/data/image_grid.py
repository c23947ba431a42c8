"""Join images to one: a square grid of equal cells, in reading order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from weaksam.arrays import ImageU8


def cell_offsets_xy(across: int, cell_hw: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the top left corner of each cell of a grid of across x across, in pixels."""
    return [(column * cell_hw[1], row * cell_hw[0]) for row in range(across) for column in range(across)]


def join_in_grid(
    images: Sequence[ImageU8], across: int, cell_hw: tuple[int, int], fill_rgb: tuple[int, int, int] = (0, 0, 0)
) -> ImageU8:
    """Return the images, across*across of at most the cell's size, each in its cell's top left corner."""
    height, width = cell_hw
    joined = np.full((across * height, across * width, 3), fill_rgb, np.uint8)
    for image, (x, y) in zip(images, cell_offsets_xy(across, cell_hw), strict=True):
        joined[y : y + image.shape[0], x : x + image.shape[1]] = image
    return joined
