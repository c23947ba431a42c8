"""What a user has drawn with a smart tool, as a prompt for the segmenter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from service.errors import InvalidRequest
from service.http.integrations.label_studio.label_config import RegionControl
from service.http.integrations.label_studio.project_labels import ProjectLabels

POINT_KINDS = frozenset({"keypointlabels", "keypoint"})
BOX_KINDS = frozenset({"rectanglelabels", "rectangle"})
# What a click becomes, if the project has several kinds of regions.
PREFERENCE = ("brushlabels", "polygonlabels", "rectanglelabels")


def drawn_regions(params: object) -> list[dict[str, Any]]:
    """Return what was drawn with a smart tool; nothing if Label Studio asks for predictions of whole tasks."""
    context = params.get("context") if isinstance(params, dict) else None
    rows = context.get("result") if isinstance(context, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def prompt_fields(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return `points` and `box` of a request of ours, in pixels of the image as the user saw it.

    Raises:
        InvalidRequest: nothing is a point or a rectangle, or a number is missing.
    """
    try:
        points = [_point(row) for row in rows if row.get("type") in POINT_KINDS]
        boxes = [_box(row) for row in rows if row.get("type") in BOX_KINDS]
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidRequest(f"context.result: a region lacks {error}") from error
    if not points and not boxes:
        raise InvalidRequest("context.result: no region is a key point or a rectangle: use one of these smart tools")
    return {"points": points} | ({"box": boxes[-1]} if boxes else {})


def label_and_control(rows: list[dict[str, Any]], labels: ProjectLabels) -> tuple[str, RegionControl]:
    """Return the label of what was drawn, and the control that the mask goes into.

    Raises:
        InvalidRequest: no control has the label.
    """
    controls = sorted(labels.config.outputs, key=lambda control: PREFERENCE.index(control.target.kind))
    drawn = list(_labels(rows))
    for control in controls:
        texts = [label.text for label in control.labels]
        # A tool without labels leaves the choice open only if there is none.
        wanted = drawn or (texts if len(texts) == 1 else [])
        if found := next((text for text in wanted if text in texts), None):
            return found, control
    shown = repr(drawn[0]) if drawn else "none"
    raise InvalidRequest(f"the label of the smart tool is {shown}: give it labels that the project's regions have")


def _labels(rows: list[dict[str, Any]]) -> Iterator[str]:
    for row in reversed(rows):
        value = row.get("value")
        texts = value.get(str(row.get("type"))) if isinstance(value, dict) else None
        yield from (text for text in texts or () if isinstance(text, str))


def _point(row: dict[str, Any]) -> list[float]:
    return [*_pixels(row, "x", "y"), int(bool(int(row.get("is_positive", 1))))]


def _box(row: dict[str, Any]) -> list[float]:
    x, y, width, height = *_pixels(row, "x", "y"), *_pixels(row, "width", "height")
    return [x, y, x + width, y + height]


def _pixels(row: dict[str, Any], across: str, down: str) -> list[float]:
    value = row["value"]
    return [
        float(value[across]) * row["original_width"] / 100,
        float(value[down]) * row["original_height"] / 100,
    ]
