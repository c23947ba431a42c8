"""Colours move an outline that the segmenter is in doubt about, and leave one that it is sure of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.letterbox import Letterbox
from models.masks.colours import draw_by_colours, move_by_colours
from models.masks.drawing import mask_box
from weaksam.arrays import ImageU8, Mask
from weaksam.formats.polygons import mask_iou

RED, GREEN = (200, 40, 30), (40, 160, 60)
IMAGE_HW, SIDE_PX, STRIDE_PX = (90, 120), 96, 2
WHOLE = Letterbox(IMAGE_HW, SIDE_PX)
IN_DOUBT, SURE = 0.3, 9.0  # the slope of logits
THING = np.s_[30:60, 40:80]


def photograph(ground: tuple[int, int, int] = GREEN) -> ImageU8:
    """A red thing, and grain as a camera has it."""
    image = np.full((*IMAGE_HW, 3), ground, np.float64)
    image[THING] = RED
    grain = np.random.default_rng(0).normal(scale=4, size=image.shape)
    return (image + grain).clip(0, 255).astype(np.uint8)


def thing() -> Mask:
    mask_hw = np.zeros(IMAGE_HW, np.bool_)
    mask_hw[THING] = True
    return mask_hw


def logits_of(box_xyxy_px: tuple[float, ...], slope: float, letterbox: Letterbox = WHOLE) -> npt.NDArray[np.float32]:
    """Logits at a stride of two of what lies in a box of the image, by their distance in cells from its outline."""
    x0, y0, x1, y1 = letterbox.boxes_to_input(np.array([box_xyxy_px], np.float32))[0] / STRIDE_PX
    centres = np.arange(letterbox.side_px // STRIDE_PX) + 0.5
    to_x, to_y = np.minimum(centres - x0, x1 - centres), np.minimum(centres - y0, y1 - centres)
    logits_hw = slope * np.minimum(to_x[None], to_y[:, None]).clip(-20, 20)
    return np.asarray(logits_hw, np.float32)


@pytest.mark.parametrize(
    "seen_xyxy_px", [(40, 30, 76, 60), (37, 27, 83, 63), (43, 32, 83, 62)], ids=["less", "more", "beside"]
)
def test_an_outline_in_doubt_moves_to_where_the_colour_changes(seen_xyxy_px: tuple[float, ...]) -> None:
    image, logits_hw = photograph(), logits_of(seen_xyxy_px, IN_DOUBT)
    square = WHOLE.apply(image, GREEN)
    plain, drawn = WHOLE.mask_to_image(logits_hw), draw_by_colours(logits_hw, square, WHOLE, 0.7)
    assert mask_iou(drawn, thing()) > 0.5 + 0.5 * mask_iou(plain, thing())


@pytest.mark.parametrize(
    ("slope", "weight", "ground"),
    [(SURE, 0.7, GREEN), (IN_DOUBT, 0.7, RED), (IN_DOUBT, 0.0, GREEN)],
    ids=["sure", "of one colour", "no weight"],
)
def test_else_it_stays(slope: float, weight: float, ground: tuple[int, int, int]) -> None:
    logits_hw = logits_of((40, 30, 72, 60), slope)
    square = WHOLE.apply(photograph(ground), GREEN)
    plain, drawn = WHOLE.mask_to_image(logits_hw), draw_by_colours(logits_hw, square, WHOLE, weight)
    assert mask_iou(drawn, plain) > 0.97


def test_a_part_of_an_image_is_drawn_where_it_lies_and_nothing_outside_it() -> None:
    part = Letterbox(IMAGE_HW, SIDE_PX, (30, 20, 76, 66))
    logits_hw = logits_of((40, 30, 74, 60), IN_DOUBT, part)
    mask_hw = draw_by_colours(logits_hw, part.apply(photograph(), GREEN), part, 0.7)
    assert mask_box(mask_hw).tolist() == [40, 30, 76, 60]


def test_an_empty_mask_stays_empty() -> None:
    nothing = np.full((48, 48), -1.0, np.float32)
    mask_hw = draw_by_colours(nothing, WHOLE.apply(photograph(), GREEN), WHOLE, 0.7)
    assert mask_hw.shape == IMAGE_HW
    assert not mask_hw.any()


def test_the_more_colours_weigh_the_further_logits_move_and_sure_ones_least() -> None:
    logits_hw = np.where(thing(), 1.0, -1.0).astype(np.float32)
    logits_hw[THING][:, :4], logits_hw[THING][:, 4:8] = -0.5, -6.0
    little, much = (move_by_colours(logits_hw, photograph(), weight)[THING] - logits_hw[THING] for weight in (0.3, 0.6))
    np.testing.assert_allclose(2 * little, much, atol=1e-5)
    assert (much > 0).all()
    assert much[:, 1:3].min() > 5 * much[:, 5:7].max()


@given(
    image_hw=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    side_px=st.sampled_from([32, 64]),
    dtype=st.sampled_from([np.float16, np.float32]),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_logits_give_a_mask_of_the_image(
    image_hw: tuple[int, int], side_px: int, dtype: type[np.floating], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    letterbox = Letterbox(image_hw, side_px)
    square = letterbox.apply(rng.integers(0, 256, (*image_hw, 3), np.uint8), GREEN)
    logits_hw = rng.normal(rng.choice([-4, 0, 4]), rng.choice([0.1, 30]), (side_px // 2, side_px // 2)).astype(dtype)
    mask_hw = draw_by_colours(logits_hw, square, letterbox, 0.7)
    assert mask_hw.shape == image_hw
    assert mask_hw.dtype == np.bool_
