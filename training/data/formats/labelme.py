"""Shapes in the JSON file that LabelMe and X-AnyLabeling keep beside an image.

Rectangles and outlines are objects: polygons, circles and turned rectangles. Outlines of one label and one `group_id`
are the parts of one. Other shapes, such as points and lines, are tags alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from training.data.checks import Report
from training.data.formats.documents import read_json
from training.data.numbers import declared_size_hw, written_number
from training.data.outlines import ellipse_px, positive_number
from training.data.polygons import polygons_box, shown_value
from training.data.written import Polygon, WrittenObject
from weaksam.errors import UserError
from weaksam.files.tag_files import shape_label

Shape = dict[str, Any]
RECTANGLE, POLYGON, CIRCLE = "rectangle", "polygon", "circle"
# LabelMe's name for a turned rectangle, then X-AnyLabeling's, and its shape of any four corners.
FOUR_CORNERS = ("oriented_rectangle", "rotation", "quadrilateral")
# Of each kind that is an object: how many points it has, if their number is fixed, and what they are.
KINDS: dict[str, tuple[int | None, str]] = {
    RECTANGLE: (None, ""),
    POLYGON: (None, ""),
    CIRCLE: (2, ": write its centre and a point on its rim"),
    **dict.fromkeys(FOUR_CORNERS, (4, ": write its four corners")),
}


@dataclass(frozen=True)
class Shapes:
    """What one file says: `size_hw` is the image's, if the file declares it."""

    objects: tuple[WrittenObject, ...] = ()
    size_hw: tuple[int, int] | None = None


def read_shapes(path: Path, report: Report) -> Shapes:
    """Read the shapes of a JSON file that may hold something else; a place that is not in numbers is reported.

    Raises:
        DocumentError: the file is no JSON.
    """
    document = read_json(path)
    if not isinstance(document, dict) or not isinstance(document.get("shapes"), list):
        return Shapes()
    parts: dict[Any, list[tuple[str, Shape, Polygon]]] = {}
    for number, shape in enumerate(document["shapes"]):
        if not isinstance(shape, dict) or _kind(shape) is None:
            continue
        field = f"shapes[{number}]"
        try:
            corners = _outline(shape)
        except (TypeError, ValueError, OverflowError):
            report.add(path, field, f"{_place_words(shape)}; it is a tag alone")
            continue
        parts.setdefault(_group(shape, number), []).append((field, shape, corners))
    size_hw = declared_size_hw(document.get("imageHeight"), document.get("imageWidth"))
    return Shapes(tuple(_object(of_one) for of_one in parts.values()), size_hw)


def _kind(shape: Shape) -> str | None:
    kind = shape.get("shape_type") or POLYGON  # LabelMe 3 drew nothing else
    return kind if isinstance(kind, str) and kind in KINDS else None


def _place_words(shape: Shape) -> str:
    kind = _kind(shape) or POLYGON
    return f"{shown_value(shape.get('points'))} is not the place of a {kind}, in numbers{KINDS[kind][1]}"


def _group(shape: Shape, number: int) -> Any:
    group = shape.get("group_id")
    if _kind(shape) == RECTANGLE or isinstance(group, bool) or not isinstance(group, int | str):
        return number
    return shape_label(shape), str(group)


def _outline(shape: Shape) -> Polygon:
    kind = _kind(shape) or POLYGON
    count, _ = KINDS[kind]
    points = [(written_number(x), written_number(y)) for x, y in shape.get("points") or ()]
    if not points or len(points) != (count or len(points)) or not all(map(math.isfinite, chain(*points))):
        raise UserError("points: give x and y of each")
    return _circle(*points) if kind == CIRCLE else list(chain(*points))


def _circle(centre_xy: tuple[float, float], rim_xy: tuple[float, float]) -> Polygon:
    radius = positive_number("radius", math.dist(centre_xy, rim_xy))
    return ellipse_px(centre_xy, (radius, radius)).ravel().tolist()


def _object(parts: Sequence[tuple[str, Shape, Polygon]]) -> WrittenObject:
    field, shape, _ = parts[0]
    polygons = tuple(corners for _, _, corners in parts)
    drawn = () if _kind(shape) == RECTANGLE else polygons
    return WrittenObject(shape_label(shape) or "", (field,) * 3, polygons_box(polygons), polygons=drawn)
