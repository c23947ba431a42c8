"""Shapes in the JSON file that LabelMe and X-AnyLabeling keep beside an image.

Rectangles and polygons are objects; polygons of one label and one `group_id` are the parts of one. Other shapes, such
as circles and turned rectangles, are tags alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.data.checks import Report
from training.data.formats.documents import read_json
from training.data.polygons import polygons_box, shown_value
from training.data.written import Polygon, WrittenObject
from weaksam.errors import UserError

Shape = dict[str, Any]
RECTANGLE, POLYGON = "rectangle", "polygon"


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
        if not isinstance(shape, dict) or not isinstance(shape.get("label"), str) or _kind(shape) is None:
            continue
        field = f"shapes[{number}]"
        try:
            corners = _corners(shape)
        except (TypeError, ValueError, OverflowError):
            place = shown_value(shape.get("points"))
            report.add(path, field, f"{place} is not the place of a {_kind(shape)}, in numbers; it is a tag alone")
            continue
        parts.setdefault(_group(shape, number), []).append((field, shape, corners))
    height, width = document.get("imageHeight"), document.get("imageWidth")
    size_hw = (height, width) if isinstance(height, int) and isinstance(width, int) else None
    return Shapes(tuple(_object(of_one) for of_one in parts.values()), size_hw)


def _kind(shape: Shape) -> str | None:
    kind = shape.get("shape_type") or POLYGON  # LabelMe 3 drew nothing else
    return kind if kind in (RECTANGLE, POLYGON) else None


def _group(shape: Shape, number: int) -> Any:
    group = shape.get("group_id")
    return (shape["label"], group) if _kind(shape) == POLYGON and isinstance(group, int) else number


def _corners(shape: Shape) -> Polygon:
    corners = [float(side) for x, y in shape.get("points") or () for side in (x, y)]
    if not corners or not all(map(math.isfinite, corners)):
        raise UserError("points: give x and y of each corner")
    return corners


def _object(parts: Sequence[tuple[str, Shape, Polygon]]) -> WrittenObject:
    field, shape, _ = parts[0]
    polygons = tuple(corners for _, _, corners in parts)
    drawn = polygons if _kind(shape) == POLYGON else ()
    return WrittenObject(shape["label"], (field,) * 3, polygons_box(polygons), polygons=drawn)
