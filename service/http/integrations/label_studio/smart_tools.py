"""What a user has drawn with a smart tool, as a prompt for the segmenter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field, FiniteFloat

from service.errors import InvalidRequest
from service.http.integrations.label_studio.label_config import RegionControl
from service.http.integrations.label_studio.project_labels import ProjectLabels
from service.http.integrations.requests import Body, checked_part, dicts
from weaksam.mask_schemas import NO_FLAG
from weaksam.segment_schemas import MAX_PIXEL

POINT_KINDS = frozenset({"keypointlabels", "keypoint"})
BOX_KINDS = frozenset({"rectanglelabels", "rectangle"})
PLACE = "context.result"
# What a click becomes, if the project has several kinds of regions.
PREFERENCE = ("brushlabels", "polygonlabels", "rectanglelabels")


Size = Annotated[float, Field(gt=0, le=MAX_PIXEL), NO_FLAG]
Percent = Annotated[FiniteFloat, NO_FLAG]


class PointValue(Body):
    """A place, in percent of the upright image."""

    x: Percent
    y: Percent


class BoxValue(PointValue):
    """A rectangle, in percent of the upright image."""

    width: Percent
    height: Percent


class Drawn(Body):
    """What was drawn on an upright image of so many pixels.

    `image_rotation` is left aside: it says how far the user had turned the image on the screen. Label Studio 1.23 takes
    sizes and places of the image that is not turned (`fixZoomedCoords` in tags/object/Image/Image.js of its editor).
    """

    original_width: Size
    original_height: Size

    def pixels(self, x: float, y: float) -> list[float]:
        """Return percents in pixels of the upright image."""
        return [x * self.original_width / 100, y * self.original_height / 100]


class DrawnPoint(Drawn):
    """A key point, on the object or off it."""

    value: PointValue
    is_positive: bool = True


class DrawnBox(Drawn):
    """A rectangle."""

    value: BoxValue


def drawn_regions(params: object) -> list[dict[str, Any]]:
    """Return what was drawn with a smart tool; nothing if Label Studio asks for predictions of whole tasks."""
    context = params.get("context") if isinstance(params, dict) else None
    return dicts(context.get("result")) if isinstance(context, dict) else []


def prompt_fields(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return `points` and `box` of a request of ours, in pixels of the upright image.

    Raises:
        InvalidRequest: nothing is a point or a rectangle, or one lacks a number.
    """
    points = [_point(checked_part(DrawnPoint, row, PLACE)) for row in rows if str(row.get("type")) in POINT_KINDS]
    boxes = [_box(checked_part(DrawnBox, row, PLACE)) for row in rows if str(row.get("type")) in BOX_KINDS]
    if not points and not boxes:
        raise InvalidRequest(f"{PLACE}: no region is a key point or a rectangle: use one of these smart tools")
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
        if isinstance(texts, list):
            yield from (text for text in texts if isinstance(text, str))


def _point(drawn: DrawnPoint) -> list[float]:
    return [*drawn.pixels(drawn.value.x, drawn.value.y), int(drawn.is_positive)]


def _box(drawn: DrawnBox) -> list[float]:
    value = drawn.value
    return [*drawn.pixels(value.x, value.y), *drawn.pixels(value.x + value.width, value.y + value.height)]
