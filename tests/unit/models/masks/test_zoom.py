"""Which part of a picture is looked at again, and which look is believed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.letterbox import Letterbox
from models.masks.levels import Level, Look, best_level
from models.masks.zoom import MAX_HALVINGS, ROOM, better_levels, shrink_for_zoom, zoom_part, zoom_parts

IMAGE_HW = (480, 640)
WHOLE = Letterbox(IMAGE_HW, 64)


def box(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    return np.array([x0, y0, x1, y1], np.float32)


def look(letterbox: Letterbox) -> Look:
    return Look(letterbox, np.zeros((64, 64, 3), np.uint8), 0.0)


def level(box_xyxy_px: np.ndarray, predicted_iou: float, letterbox: Letterbox = WHOLE) -> Level:
    x0, y0, x1, y1 = letterbox.boxes_to_input(box_xyxy_px[None])[0].round().astype(int)
    logits_hw = np.full((64, 64), -1.0, np.float32)
    logits_hw[y0:y1, x0:x1] = 1
    return Level(logits_hw, predicted_iou, look(letterbox))


@given(
    height=st.integers(1, 3000),
    width=st.integers(1, 3000),
    place=st.tuples(*[st.floats(0, 1)] * 2),
    side=st.floats(0.001, 1),
)
def test_a_part_holds_its_object_with_room_and_lies_in_the_picture(
    height: int, width: int, place: tuple[float, float], side: float
) -> None:
    longest_px = side * min(height, width)
    x0, y0 = place[0] * (width - longest_px), place[1] * (height - longest_px)
    box_xyxy = box(x0, y0, x0 + longest_px, y0 + longest_px / 2)
    part = zoom_part(box_xyxy, (height, width))
    if part is None:
        assert max(height, width) < 2 * ROOM * longest_px * 1.001 or max(height, width) < 2**MAX_HALVINGS
        return
    left, top, right, bottom = part
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert ROOM * longest_px - 1.5 <= max(right - left, bottom - top) <= max(height, width) / 2 + 1
    half_px = longest_px / 2 - 1.5  # parts are in whole pixels
    low, high = np.array([left, top]), np.array([right, bottom])
    assert (low <= np.maximum(box_xyxy[:2] - half_px, 0) + 1).all()
    assert (high >= np.minimum(box_xyxy[2:] + half_px, (width, height)) - 1).all()


def test_the_smaller_the_object_the_smaller_the_part_down_to_a_quarter() -> None:
    sides = {longest: zoom_part(box(300, 200, 300 + longest, 210), IMAGE_HW) for longest in (2, 50, 100, 110)}
    assert {longest: part and part[2] - part[0] for longest, part in sides.items()} == {
        2: 160,
        50: 160,
        100: 320,
        110: None,
    }


def test_an_empty_box_has_no_part() -> None:
    assert zoom_part(np.zeros(4, np.float32), IMAGE_HW) is None


def test_boxes_near_each_other_share_the_part_of_the_largest() -> None:
    near, far, too_large = box(300, 200, 310, 210), box(20, 20, 40, 40), box(0, 0, 400, 300)
    largest = box(320, 220, 400, 260)
    parts = zoom_parts(np.stack([near, largest, far, too_large]), IMAGE_HW)
    assert parts[0] == parts[1] == zoom_part(largest, IMAGE_HW)
    assert parts[2] == zoom_part(far, IMAGE_HW) != parts[0]
    assert parts[3] is None
    assert zoom_parts(np.zeros((0, 4), np.float32), IMAGE_HW) == []


def test_each_level_is_taken_from_the_look_that_is_surer_of_it() -> None:
    thing = box(200, 200, 240, 240)
    part = Letterbox(IMAGE_HW, 64, zoom_part(thing, IMAGE_HW))
    first, second = [level(thing, iou) for iou in (0.9, 0.5)], [level(thing, 0.7, part) for _ in range(2)]
    assert better_levels(first, second) == [first[0], second[1]]
    assert best_level(better_levels(first, second)) is first[0]


def test_a_level_that_reaches_out_of_the_part_stays_whole() -> None:
    group = level(box(10, 10, 600, 400), 0.4)
    part = Letterbox(IMAGE_HW, 64, zoom_part(box(200, 200, 240, 240), IMAGE_HW))
    assert better_levels([group], [level(box(200, 200, 240, 240), 0.9, part)]) == [group]


@pytest.mark.parametrize("letterbox", [WHOLE, Letterbox(IMAGE_HW, 64, (160, 160, 320, 320))], ids=["whole", "part"])
def test_the_box_of_a_level_is_in_pixels_of_the_picture(letterbox: Letterbox) -> None:
    thing = box(200, 200, 240, 240)
    cell_px = 1 / min(letterbox.scale_xy)
    np.testing.assert_allclose(level(thing, 0.5, letterbox).box_xyxy_px(), thing, atol=cell_px)
    nothing = Level(np.full((16, 16), -1.0, np.float32), 0.5, look(letterbox))
    assert nothing.box_xyxy_px().tolist() == [0, 0, 0, 0]


def test_a_picture_is_shrunk_to_what_the_smallest_part_needs() -> None:
    large = np.zeros((300, 1200, 3), np.uint8)
    assert shrink_for_zoom(large, 64).shape == (64, 256, 3)
    assert shrink_for_zoom(large, 384) is large
