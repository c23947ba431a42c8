"""Mapping to a graph's input and back is the identity, and masks land where their boxes do."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.letterbox import Letterbox, Part
from models.masks.drawing import mask_box

sides = st.integers(1, 3000)


@given(height=sides, width=sides, side=st.sampled_from([64, 320, 1024]), seed=st.integers(0, 2**31))
def test_boxes_survive_the_round_trip(height: int, width: int, side: int, seed: int) -> None:
    letterbox = Letterbox((height, width), side)
    corners = np.sort(np.random.default_rng(seed).random((5, 2, 2)), axis=1) * [width, height]
    boxes = corners.reshape(5, 4).astype(np.float32)
    there = letterbox.boxes_to_input(boxes)
    valid_h, valid_w = letterbox.valid_hw
    assert (there <= np.array([valid_w, valid_h, valid_w, valid_h]) * (1 + 1e-5)).all()
    np.testing.assert_allclose(letterbox.boxes_to_image(there), boxes, atol=max(height, width) * 1e-5)


@given(height=sides, width=sides, seed=st.integers(0, 2**31))
def test_boxes_of_one_input_are_found_in_another(height: int, width: int, seed: int) -> None:
    small, large = Letterbox((height, width), 320), Letterbox((height, width), 1024)
    corners = np.sort(np.random.default_rng(seed).random((5, 2, 2)), axis=1) * [width, height]
    boxes = corners.reshape(5, 4).astype(np.float32)
    moved = small.boxes_for(large, small.boxes_to_input(boxes))
    np.testing.assert_allclose(moved, large.boxes_to_input(boxes), atol=1e-3)
    assert np.array_equal(small.boxes_for(small, boxes), boxes)


@given(height=sides, width=sides)
def test_the_picture_fills_the_square_along_its_longer_side(height: int, width: int) -> None:
    valid_hw = Letterbox((height, width), 320).valid_hw
    assert max(valid_hw) == 320
    assert min(valid_hw) >= 1


@given(height=st.integers(200, 400), width=st.integers(200, 400), x=st.integers(0, 30), y=st.integers(0, 30))
def test_a_mask_comes_back_where_its_logits_are(height: int, width: int, x: int, y: int) -> None:
    letterbox = Letterbox((height, width), 320)
    stride = 2
    logits = np.full((160, 160), -8.0, np.float32)
    logits[y : y + 8, x : x + 8] = 8.0
    expected = letterbox.boxes_to_image(np.array([[x, y, x + 8, y + 8]], np.float32) * stride)[0]
    found = mask_box(letterbox.mask_to_image(logits))
    pixel_of_input = 1 / min(letterbox.scale_xy)
    np.testing.assert_allclose(found, expected, atol=1 + pixel_of_input)


@given(
    height=st.integers(1, 400),
    width=st.integers(1, 400),
    side=st.sampled_from([32, 64, 100, 224, 320]),
    part=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_a_mask_is_fitted_as_a_picture_of_it_would_be(
    height: int, width: int, side: int, part: bool, seed: int
) -> None:
    mask_hw = np.random.default_rng(seed).random((height, width)) < 0.5
    letterbox = Letterbox((height, width), side, (width // 3, height // 3, width, height) if part else None)
    picture_hwc_u8 = np.repeat(mask_hw[..., None].astype(np.uint8) * 255, 3, axis=2)
    expected = letterbox.apply(picture_hwc_u8, (0, 0, 0))[..., 0] >= 128
    assert np.array_equal(letterbox.mask_to_input(mask_hw), expected)
    assert np.array_equal(letterbox.mask_to_input(np.asfortranarray(mask_hw)), expected)


def test_padding_has_the_fill_colour_and_lies_at_the_bottom_and_right() -> None:
    square = Letterbox((10, 20), 64).apply(np.zeros((10, 20, 3), np.uint8), (1, 2, 3))
    assert (square[:32] == 0).all()
    assert (square[32:] == (1, 2, 3)).all()


parts = st.tuples(st.integers(0, 150), st.integers(0, 150), st.integers(1, 50), st.integers(1, 50)).map(
    lambda row: (row[0], row[1], row[0] + row[2], row[1] + row[3])
)


@given(part=parts, side=st.sampled_from([64, 320]), seed=st.integers(0, 2**31))
def test_what_a_part_shows_keeps_its_place_in_the_picture(part: Part, side: int, seed: int) -> None:
    whole, enlarged = Letterbox((200, 200), side), Letterbox((200, 200), side, part)
    inside = np.random.default_rng(seed).random((5, 2, 2)) * enlarged.part_hw[::-1] + part[:2]
    boxes = np.sort(inside, axis=1).reshape(5, 4).astype(np.float32)
    there = enlarged.boxes_to_input(boxes)
    assert (there >= -1e-2).all()
    assert (there <= side * (1 + 1e-4)).all()
    np.testing.assert_allclose(enlarged.boxes_to_image(there), boxes, atol=1e-3)
    np.testing.assert_allclose(whole.boxes_for(enlarged, whole.boxes_to_input(boxes)), there, atol=0.1)
    np.testing.assert_allclose(enlarged.boxes_for(whole, there), whole.boxes_to_input(boxes), atol=1e-2)


@given(part=parts.filter(lambda part: min(part[2] - part[0], part[3] - part[1]) >= 20))
def test_a_mask_of_a_part_lies_in_the_part(part: Part) -> None:
    letterbox = Letterbox((200, 200), 64, part)
    everything = letterbox.mask_to_image(np.full((64, 64), 8.0, np.float32))
    assert mask_box(everything).tolist() == list(part)
    logits = np.full((64, 64), -8.0, np.float32)
    logits[8:24, 8:16] = 8.0
    expected = letterbox.boxes_to_image(np.array([[8, 8, 16, 24]], np.float32))[0]
    np.testing.assert_allclose(
        mask_box(letterbox.mask_to_image(logits)), expected, atol=1 + 1 / min(letterbox.scale_xy)
    )


def test_a_part_is_cut_from_a_picture_at_any_scale() -> None:
    picture = np.zeros((200, 400, 3), np.uint8)
    picture[40:80, 100:140] = 255
    letterbox = Letterbox((200, 400), 64, (100, 40, 140, 80))
    assert (letterbox.apply(picture, (1, 2, 3)) == 255).all()
    assert (letterbox.apply(picture[::2, ::2], (1, 2, 3)) == 255).all()
