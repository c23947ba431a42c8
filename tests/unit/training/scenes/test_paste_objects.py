from __future__ import annotations

import numpy as np
import pytest

from training.scenes.drawing.object_image import ObjectImage
from training.scenes.light import Light, cast_shadow, overlap
from training.scenes.paste_objects import PlacedObject, compose_image

LIGHT = Light(towards_xy=(1.0, 0.0), length=0.5, softness=0.3, darkness=0.6)


def _square(side_px: int, label: str) -> ObjectImage:
    return ObjectImage(np.ones((side_px, side_px, 3), np.float32), np.ones((side_px, side_px), np.float32), label)


@pytest.mark.parametrize(
    ("second_top_left_yx", "expected"),
    [
        pytest.param((30, 30), {"under": 100, "over": 100}, id="apart"),
        pytest.param((10, 15), {"under": 50, "over": 100}, id="half-hidden"),
        pytest.param((10, 12), {"over": 100}, id="four-fifths-hidden-is-dropped"),
        pytest.param((10, 10), {"over": 100}, id="wholly-hidden-is-dropped"),
        pytest.param((45, -5), {"under": 100, "over": 25}, id="cut-by-the-edge"),
        pytest.param((60, 60), {"under": 100}, id="outside"),
    ],
)
def test_visible_parts(second_top_left_yx: tuple[int, int], expected: dict[str, int]) -> None:
    background = np.full((50, 50, 3), 0.4, np.float32)
    placed = [PlacedObject(_square(10, "under"), (10, 10)), PlacedObject(_square(10, "over"), second_top_left_yx)]

    image = compose_image(np.random.default_rng(0), background, placed, LIGHT)

    areas = {label: int(mask.sum()) for label, mask in zip(image.labels, image.masks, strict=True)}
    assert areas == expected


def test_what_is_no_object_hides_others_and_has_no_mask() -> None:
    background = np.full((50, 50, 3), 0.4, np.float32)
    leaf = PlacedObject(_square(10, ""), (10, 14), is_object=False)

    image = compose_image(
        np.random.default_rng(0), background, [PlacedObject(_square(10, "nut"), (10, 10)), leaf], LIGHT
    )

    assert image.labels == ("nut",)
    assert image.masks.sum() == 40


def test_an_image_of_nothing_has_no_masks() -> None:
    image = compose_image(np.random.default_rng(0), np.full((30, 40, 3), 0.4, np.float32), [], LIGHT)

    assert image.masks.shape == (0, 30, 40)
    assert image.image_hwc_u8.shape == (30, 40, 3)


def test_a_shadow_falls_away_from_the_light() -> None:
    image = np.ones((60, 60, 3), np.float32)

    cast_shadow(image, np.ones((12, 12), np.float32), (24, 24), LIGHT)

    assert image[30, 38, 0] < 0.7
    assert image[30, 20, 0] == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(
    ("top_left_yx", "window", "part"),
    [
        pytest.param((2, 3), (2, 6, 3, 8), (0, 4, 0, 5), id="inside"),
        pytest.param((-1, -2), (0, 3, 0, 3), (1, 4, 2, 5), id="top-left"),
        pytest.param((8, 7), (8, 10, 7, 10), (0, 2, 0, 3), id="bottom-right"),
        pytest.param((30, -30), (10, 10, 0, 0), (0, 0, 30, 30), id="far-away"),
    ],
)
def test_overlap(top_left_yx: tuple[int, int], window: tuple[int, ...], part: tuple[int, ...]) -> None:
    rows_columns, patch_rows_columns = overlap((10, 10), (4, 5), top_left_yx)

    edges = [edge for side in rows_columns for edge in (side.start, side.stop)]
    patch_edges = [edge for side in patch_rows_columns for edge in (side.start, side.stop)]
    assert tuple(edges) == window
    if edges[0] < edges[1]:
        assert tuple(patch_edges) == part
