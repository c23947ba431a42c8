"""Bodies of X-AnyLabeling's remote server, as its client 4.2.1 sends and reads them.

The client always sends an IoU threshold and a fineness of outlines too. Both are ignored, and `models.py` keeps them
out of the client's window.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from service.http.integrations.requests import Body, ImageText
from weaksam.schemas import Score
from weaksam.segment_schemas import Pixel, PixelBox

Task = Literal["masks", "boxes", "click"]


class PointMark(Body):
    """A click: x, y in pixels of the upright image; label 1 on the object, 0 off it."""

    type: Literal["point"]
    data: tuple[Pixel, Pixel]
    label: Literal[0, 1]


class RectangleMark(Body):
    """A box around the object: two opposite corners in pixels of the upright image."""

    type: Literal["rectangle"]
    data: PixelBox
    label: Literal[1]


Mark = Annotated[PointMark | RectangleMark, Field(discriminator="type")]


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
    filter_classes: tuple[str, ...] = ()
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
