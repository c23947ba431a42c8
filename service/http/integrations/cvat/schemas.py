"""Bodies that CVAT sends to its nuclio functions."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator

from service.http.integrations.requests import Body, ImageText
from weaksam.schemas import Score, TagText
from weaksam.segment_schemas import Pixel, PixelBox


def _flat(value: object) -> object:
    """Return x0, y0, x1, y1 of two corners, and None of nothing; CVAT sends either form."""
    if isinstance(value, list) and len(value) == 2 and all(isinstance(corner, list) for corner in value):
        return [*value[0], *value[1]]
    return value or None


Corners = Annotated[PixelBox | None, BeforeValidator(_flat)]
PointList = tuple[tuple[Pixel, Pixel], ...]


class DetectorBody(Body):
    """What the AI tools send for a frame.

    Attributes:
        threshold: minimum score; absent or 0 for the calibrated one of each class.
        tags: not sent by CVAT; a function that knows them may add them. Without any, the models propose tags.
    """

    image: ImageText
    threshold: Score | None = None
    tags: tuple[TagText, ...] = ()


class InteractorBody(Body):
    """What the AI tools send for each click: x, y in pixels of the upright image.

    Attributes:
        pos_points, neg_points: points on and off the object.
        obj_bbox: two corners of a box around the object, in any order.
    """

    image: ImageText
    pos_points: PointList = ()
    neg_points: PointList = ()
    obj_bbox: Corners = None
