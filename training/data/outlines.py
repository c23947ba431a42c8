"""Outlines of turned rectangles and of ellipses, out of the numbers of a file that may be wrong in any way.

All places are pixels of the image, x to the right and y down. All turns are degrees, clockwise as seen on the screen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from training.data.numbers import written_number
from training.data.polygons import shown_value
from weaksam.errors import UserError
from weaksam.schemas import Box

Points = npt.NDArray[np.float64]

# Of an ellipse; the chords of a circle of 1000 pixels' radius keep within 0.04 pixels of it.
ELLIPSE_CORNERS = 360
LARGEST_NUMBER = 1e9  # larger ones are mistakes, and would overflow


def finite_number(name: str, value: Any) -> float:
    """Return a number, or the number that a text says.

    Raises:
        UserError: it is none, not finite, or beyond all images; the message has its name and value.
    """
    try:
        number = written_number(value)
    except (TypeError, ValueError, OverflowError):
        number = np.nan
    if not abs(number) <= LARGEST_NUMBER:
        raise UserError(f"{name} is {shown_value(value)}: write a number from -1e9 to 1e9")
    return number


def positive_number(name: str, value: Any) -> float:
    """Return a number above 0 as `finite_number` does; a length, such as a side or a radius."""
    number = finite_number(name, value)
    if number <= 0:
        raise UserError(f"{name} is {shown_value(value)}: write a number above 0")
    return number


def turned_points_px(points_xy_px: Points, pivot_xy_px: tuple[float, float], clockwise_deg: float) -> Points:
    """Return points [N,2] turned around a pivot."""
    angle = np.radians(clockwise_deg)
    ends_of_axes = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turned: Points = (points_xy_px - pivot_xy_px) @ ends_of_axes + pivot_xy_px
    return turned


def turned_rectangle_px(box_xyxy_px: Box, pivot_xy_px: tuple[float, float], clockwise_deg: float) -> Points:
    """Return the corners [4,2] of a box that is turned around a pivot.

    They are those that were top left, top right, bottom right and bottom left before the turn.
    """
    x0, y0, x1, y1 = box_xyxy_px
    return turned_points_px(np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]), pivot_xy_px, clockwise_deg)


def ellipse_px(
    centre_xy_px: tuple[float, float], radii_xy_px: tuple[float, float], clockwise_deg: float = 0.0
) -> Points:
    """Return the outline [360,2] of an ellipse that is turned around its centre.

    Args:
        radii_xy_px: along x and along y before the turn.
    """
    angles = np.linspace(0, 2 * np.pi, ELLIPSE_CORNERS, endpoint=False)
    upright: Points = np.array(centre_xy_px) + np.array(radii_xy_px) * np.column_stack([np.cos(angles), np.sin(angles)])
    return turned_points_px(upright, centre_xy_px, clockwise_deg)
