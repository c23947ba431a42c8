"""Turned rectangles and ellipses: known corners, known areas, and how OpenCV turns."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest

from training.data.outlines import ellipse_px, finite_number, positive_number, turned_points_px, turned_rectangle_px
from weaksam.errors import UserError
from weaksam.formats.polygons import mask_iou, polygons_to_mask

CENTRE = (40.0, 30.0)
ROOT_3 = math.sqrt(3)


def test_a_quarter_turn_leads_from_the_right_to_below() -> None:
    turned = turned_points_px(np.array([(7.0, 5.0), (5.0, 9.0)]), (5.0, 5.0), 90)
    assert turned == pytest.approx(np.array([(5.0, 7.0), (1.0, 5.0)]))


def test_a_rectangle_turns_around_its_top_left_corner() -> None:
    corners = turned_rectangle_px((50, 30, 90, 40), (50, 30), 30)
    right, down = np.array([20 * ROOT_3, 20]), np.array([-5, 5 * ROOT_3])
    assert corners == pytest.approx(np.array([50, 30]) + np.array([(0, 0), right, right + down, down]))


@pytest.mark.parametrize("clockwise_deg", [0, 30, 90, 135, 210, 300])
def test_a_rectangle_turns_around_its_centre_as_in_opencv(clockwise_deg: float) -> None:
    corners = turned_rectangle_px((20, 20, 60, 40), CENTRE, clockwise_deg)
    expected = cv2.boxPoints((CENTRE, (40, 20), clockwise_deg))  # from the one that was bottom left
    assert corners == pytest.approx(np.roll(expected, -1, axis=0), abs=0.001)


def test_an_ellipse_has_its_radii_along_the_turned_axes() -> None:
    outline = ellipse_px(CENTRE, (20, 8), 30)
    assert outline[0] == pytest.approx((40 + 10 * ROOT_3, 40))  # the end of x, turned down
    assert outline[90] == pytest.approx((40 - 4, 30 + 4 * ROOT_3))  # the end of y, turned to the left
    half_sides = math.hypot(10 * ROOT_3, 4), math.hypot(10, 4 * ROOT_3)
    assert outline.max(axis=0) == pytest.approx(np.add(CENTRE, half_sides), abs=0.001)
    assert outline.min(axis=0) == pytest.approx(np.subtract(CENTRE, half_sides), abs=0.001)
    assert cv2.contourArea(outline.astype(np.float32)) == pytest.approx(math.pi * 20 * 8, rel=1e-4)


@pytest.mark.parametrize("clockwise_deg", [0, 30, 120])
def test_an_ellipse_covers_what_opencv_fills(clockwise_deg: float) -> None:
    """CVAT's exports of masks fill ellipses by this call (`EllipsesToMasks`); corners there are centres of pixels."""
    filled = np.zeros((60, 80), np.uint8)
    cv2.ellipse(filled, (40, 30), (24, 9), clockwise_deg, 0, 360, 1, thickness=-1)
    outline = ellipse_px((40.5, 30.5), (24.5, 9.5), clockwise_deg)
    assert mask_iou(polygons_to_mask([outline], (60, 80)), filled > 0) > 0.97


@pytest.mark.parametrize("value", [None, "wide", math.nan, "nan", math.inf, 1e300, 10**400, [1]])
def test_what_is_no_number_is_named(value: Any) -> None:
    with pytest.raises(UserError, match="rotation is .*: write a number from -1e9 to 1e9"):
        finite_number("rotation", value)


@pytest.mark.parametrize("value", [0, -3, "-0.5"])
def test_a_length_is_above_zero(value: Any) -> None:
    with pytest.raises(UserError, match=f"rx is {value!r}: write a number above 0"):
        positive_number("rx", value)
