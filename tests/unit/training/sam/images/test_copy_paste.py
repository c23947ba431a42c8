"""Objects pasted over an image cover what lies under them."""

from __future__ import annotations

import numpy as np
import pytest

from training.sam.images.copy_paste import CutOut, cut_out, paste

RED = (200, 0, 0)


def red_square(side_px: int) -> CutOut:
    return CutOut(np.full((side_px, side_px, 3), RED, np.uint8), np.ones((side_px, side_px), np.bool_))


def test_what_is_cut_out_is_the_box_of_the_object() -> None:
    image = np.arange(10 * 12 * 3, dtype=np.uint8).reshape(10, 12, 3)
    mask = np.zeros((10, 12), np.bool_)
    mask[2:5, 3:9] = True
    thing = cut_out(image, mask)
    assert np.array_equal(thing.rgb_hwc_u8, image[2:5, 3:9])
    assert thing.mask_hw.all()


def test_the_pasted_mask_is_where_its_pixels_are_and_is_taken_out_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("training.sam.images.copy_paste.GAINS", (1.0, 1.0))
    ground = np.ones((1, 60, 80), np.bool_)
    for seed in range(30):
        pasted, masks = paste(np.random.default_rng(seed), np.zeros((60, 80, 3), np.uint8), ground, red_square(20))
        under, over = masks
        assert not (under & over).any()
        assert (under | over).all()
        assert np.array_equal(pasted[..., 0] > 100, over)


def test_an_object_that_is_nearly_hidden_is_no_longer_asked_for() -> None:
    monster, speck = red_square(500), np.zeros((1, 60, 80), np.bool_)
    speck[0, 30, 40] = True
    seen = [
        len(paste(np.random.default_rng(seed), np.zeros((60, 80, 3), np.uint8), speck, monster)[1])
        for seed in range(60)
    ]
    assert set(seen) == {1, 2}, "at times it covers the speck, at times it does not"
