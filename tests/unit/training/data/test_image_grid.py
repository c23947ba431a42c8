from __future__ import annotations

import numpy as np

from training.data.image_grid import cell_offsets_xy, join_in_grid


def test_images_lie_in_reading_order_at_the_offsets() -> None:
    images = [np.full((2, width, 3), value, np.uint8) for value, width in ((1, 3), (2, 1), (3, 2), (4, 3))]
    joined = join_in_grid(images, 2, (2, 3), fill_rgb=(9, 9, 9))
    assert joined.shape == (4, 6, 3)
    for image, (x, y) in zip(images, cell_offsets_xy(2, (2, 3)), strict=True):
        assert np.array_equal(joined[y : y + 2, x : x + image.shape[1]], image)
    assert joined[0].tolist()[4] == [9, 9, 9]  # a narrower image leaves the rest of its cell filled
