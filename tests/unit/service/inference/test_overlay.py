from __future__ import annotations

import io
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from models.bundle import Bundle
from service.inference.overlay import Rect, draw_overlay, label_colours, place_chips
from tests.support.bundles.service_parts import RED, TWO_BOLTS_AND_A_NUT, detect_once
from tests.support.bundles.tiny_bundle import picture
from weaksam.schemas import DetectResult


def drawn(image_hwc_u8: npt.NDArray[np.uint8], result: DetectResult) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(draw_overlay(image_hwc_u8, result))))


def test_masks_are_tinted_and_the_ground_is_left_alone(tiny_bundle: Bundle) -> None:
    image = picture(((100, 100, 220, 220), RED), size_hw=(320, 320))
    result = detect_once(tiny_bundle.folder, image, ["red-bolt"])
    overlay = drawn(image, result)
    assert overlay.shape == image.shape
    changed = (overlay != image).any(axis=2)
    assert changed[160, 160]
    assert changed[100:220, 100:220].mean() > 0.99
    # Beyond the box and its chip nothing is touched.
    assert not changed[240:].any()
    assert not changed[:, 300:].any()
    assert image[0, 0].tolist() == [128, 128, 128], "the picture itself must stay as it was"


def test_nothing_found_gives_the_picture_back(tiny_bundle: Bundle) -> None:
    result = detect_once(tiny_bundle.folder, TWO_BOLTS_AND_A_NUT, ["blue-wrench"])
    np.testing.assert_array_equal(drawn(TWO_BOLTS_AND_A_NUT, result), TWO_BOLTS_AND_A_NUT)


def test_without_masks_boxes_are_drawn(tiny_bundle: Bundle) -> None:
    image = picture(((100, 100, 220, 220), RED), size_hw=(320, 320))
    overlay = drawn(image, detect_once(tiny_bundle.folder, image, ["red-bolt"], mask_format="none"))
    assert (overlay[100, 150] != image[100, 150]).any()
    assert (overlay[160, 160] == image[160, 160]).all()


@pytest.mark.parametrize("size_hw", [(1, 1), (2, 900), (900, 2), (20, 20)])
def test_a_picture_too_small_for_chips_is_drawn_all_the_same(tiny_bundle: Bundle, size_hw: tuple[int, int]) -> None:
    image = np.full((*size_hw, 3), RED, np.uint8)
    assert drawn(image, detect_once(tiny_bundle.folder, image, ["red-bolt"], min_score=0)).shape == image.shape


def test_chips_lie_inside_and_do_not_overlap() -> None:
    rng = np.random.default_rng(7)
    corners = rng.integers(0, 280, (40, 2))
    anchors = [Rect(int(x), int(y), int(x) + 30, int(y) + 30) for x, y in corners]
    sizes_wh = [(int(width), 14) for width in rng.integers(30, 90, 40)]
    chips = [chip for chip in place_chips(anchors, sizes_wh, (300, 320)) if chip is not None]
    assert len(chips) >= 36
    assert all(chip.x0 >= 0 and chip.y0 >= 0 and chip.x1 <= 320 and chip.y1 <= 300 for chip in chips)
    assert not any(first.overlaps(second) for first, second in combinations(chips, 2))


CHIPS = {
    "above its box": (Rect(50, 50, 90, 90), Rect(50, 40, 80, 50)),
    "pushed down from the top": (Rect(50, 4, 90, 90), Rect(50, 0, 80, 10)),
    "pushed in from the right": (Rect(190, 50, 200, 90), Rect(170, 40, 200, 50)),
}


@pytest.mark.parametrize(("anchor", "chip"), CHIPS.values(), ids=list(CHIPS))
def test_a_lone_chip_stands_at_its_box(anchor: Rect, chip: Rect) -> None:
    assert place_chips([anchor], [(30, 10)], (100, 200)) == [chip]


def test_a_chip_that_fits_nowhere_is_left_out() -> None:
    assert place_chips([Rect(0, 0, 5, 5)], [(30, 10)], (100, 20)) == [None]
    crowded = place_chips([Rect(0, 0, 5, 5)] * 3, [(20, 10)] * 3, (20, 20))
    assert crowded == [Rect(0, 0, 20, 10), Rect(0, 10, 20, 20), None]


def test_labels_differ_in_colour_and_keep_it() -> None:
    labels = [f"label {i}" for i in range(12)]
    colours = label_colours(labels)
    assert colours == label_colours(list(reversed(labels)))
    apart = [np.abs(np.subtract(*pair)).sum() for pair in combinations(colours.values(), 2)]
    assert min(apart) > 40
