"""Bodies of X-AnyLabeling's remote server, as its client 4.2.1 sends and reads them.

The client always sends an IoU threshold and a fineness of outlines too. Both are ignored, and `models.py` keeps them
out of the client's window.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import PlainValidator

from service.http.integrations.requests import Body, ImageText
from weaksam.mask_schemas import NO_FLAG
from weaksam.schemas import Score, TagText
from weaksam.segment_schemas import OnOrOff, Pixel, PixelBox

Task = Literal["masks", "boxes", "click"]


class MarkKind(Body):
    """What a mark is."""

    type: Literal["point", "rectangle"]


class PointMark(MarkKind):
    """A click: x, y in pixels of the upright image; label 1 on the object, 0 off it."""

    data: tuple[Pixel, Pixel]
    label: OnOrOff


class RectangleMark(MarkKind):
    """A box around the object: two opposite corners in pixels of the upright image."""

    data: PixelBox
    label: Annotated[Literal[1], NO_FLAG]


def _mark(value: object) -> PointMark | RectangleMark:
    # A union of pydantic would put a name of its own into the place of a fault.
    kind = PointMark if MarkKind.model_validate(value).type == "point" else RectangleMark
    return kind.model_validate(value)


Mark = Annotated[PointMark | RectangleMark, PlainValidator(_mark)]


class Parameters(Body):
    """What is asked for.

    Attributes:
        text_prompt: tags between commas or dots, from the client's text field.
        filter_classes: tags, from the client's class picker; empty for all classes.
        conf_threshold: minimum score; 0 for the calibrated one of each class.
        current_task: what is wanted; None from clients that know no tasks.
        marks: of one object.
    """

    text_prompt: str = ""
    filter_classes: tuple[TagText, ...] = ()
    conf_threshold: Score = 0.0
    current_task: Task | None = None
    marks: tuple[Mark, ...] = ()


class PredictBody(Body):
    """The body of `/v1/predict`."""

    model: str
    image: ImageText
    params: Parameters = Parameters()


def success(data: Any) -> dict[str, Any]:
    """Return a response that the client takes for a result."""
    return {"success": True, "data": data}
