from __future__ import annotations

import numpy as np
import pytest

from models.masks.drawing import mask_box, paste_mask

FULL = np.full((28, 28), 8.0, np.float32)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        pytest.param((4, 2, 20, 12), (4, 2, 20, 12), id="whole pixels"),
        pytest.param((4.6, 2.4, 19.4, 12.6), (5, 2, 19, 13), id="pixels whose centres lie inside"),
        pytest.param((-6, -3, 20, 12), (0, 0, 20, 12), id="over the left and upper edge"),
        pytest.param((20, 12, 60, 50), (20, 12, 32, 24), id="over the right and lower edge"),
    ],
)
def test_a_full_mask_fills_its_box(box: tuple[float, ...], expected: tuple[int, ...]) -> None:
    mask = paste_mask(FULL, np.array(box, np.float32), (24, 32))
    assert tuple(mask_box(mask)) == expected
    assert mask.sum() == (expected[2] - expected[0]) * (expected[3] - expected[1])


@pytest.mark.parametrize("box", [(5, 5, 5, 9), (5, 5, 5.3, 9), (40, 5, 50, 9), (-9, -9, -1, -1)])
def test_a_box_without_pixels_in_the_picture_gives_an_empty_mask(box: tuple[float, ...]) -> None:
    assert not paste_mask(FULL, np.array(box, np.float32), (24, 32)).any()


def test_an_edge_lies_where_the_logits_cross_zero() -> None:
    columns = np.arange(28) + 0.5
    logits = np.repeat((7.0 - columns)[None], 28, axis=0).astype(np.float32)  # the first quarter
    mask = paste_mask(logits, np.array([8, 0, 120, 56], np.float32), (60, 128))
    assert tuple(mask_box(mask)) == (8, 0, 36, 56)


def test_a_box_cut_by_the_edge_shows_its_own_part_of_the_mask() -> None:
    logits = np.where(np.arange(28)[None, :] < 14, -8.0, 8.0).repeat(28, axis=0).astype(np.float32)
    mask = paste_mask(logits, np.array([-20, 0, 20, 20], np.float32), (24, 32))
    assert tuple(mask_box(mask)) == (0, 0, 20, 20)
