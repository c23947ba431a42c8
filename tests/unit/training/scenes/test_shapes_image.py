from __future__ import annotations

import numpy as np
import pytest

from training.scenes.shapes_image import draw_shapes_image


@pytest.mark.parametrize("size_hw", [(320, 320), (200, 333), (480, 640)], ids=["square", "odd", "larger-than-tiles"])
def test_shapes_and_kinds(size_hw: tuple[int, int]) -> None:
    image_hwc_u8, masks = draw_shapes_image(np.random.default_rng(0), size_hw)

    assert image_hwc_u8.shape == (*size_hw, 3)
    assert image_hwc_u8.dtype == np.uint8
    assert masks.shape[1:] == size_hw
    assert masks.dtype == np.bool_


def test_the_generator_alone_decides() -> None:
    first, again, other = (draw_shapes_image(np.random.default_rng(seed), (160, 160)) for seed in (4, 4, 5))

    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


def test_masks_are_disjoint_visible_and_of_many_sizes() -> None:
    areas_px = []
    for seed in range(60):
        _, masks = draw_shapes_image(np.random.default_rng([1, seed]), (240, 240))
        assert masks.sum(axis=0).max(initial=0) <= 1, "two objects own one pixel"
        areas_px.extend(masks.sum(axis=(1, 2)))

    sides_px = np.sqrt(areas_px)
    assert sides_px.min() ** 2 >= 12
    assert 5 < np.quantile(sides_px, 0.1) < 12
    assert 60 < np.quantile(sides_px, 0.98) < 160


def test_objects_differ_from_their_surroundings() -> None:
    """Masks lie where something was drawn: the mean colour inside differs from that of a ring around, mostly a lot."""
    contrasts = []
    for seed in range(40):
        image_hwc_u8, masks = draw_shapes_image(np.random.default_rng([2, seed]), (200, 200))
        for mask in masks:
            ring = _dilated(mask) & ~masks.any(axis=0)
            if ring.any():
                contrasts.append(np.abs(image_hwc_u8[mask].mean(axis=0) - image_hwc_u8[ring].mean(axis=0)).max())

    assert np.median(contrasts) > 30
    assert np.quantile(contrasts, 0.05) < 15, "some objects must be hard to see"


def test_images_vary_in_brightness_and_grain() -> None:
    images = [draw_shapes_image(np.random.default_rng([3, seed]), (128, 128))[0] for seed in range(40)]

    means = [image.mean() for image in images]
    grains = [np.abs(np.diff(image.astype(int), axis=1)).mean() for image in images]
    assert np.ptp(means) > 120
    assert np.quantile(grains, 0.9) > 2.2 * np.quantile(grains, 0.1)


def _dilated(
    mask_hw: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    grown = mask_hw.copy()
    for shift in (-5, 5):
        grown |= np.roll(mask_hw, shift, axis=0) | np.roll(mask_hw, shift, axis=1)
    return grown
