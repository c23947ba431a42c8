"""A body of X-AnyLabeling as a request of ours."""

from __future__ import annotations

import re
from collections.abc import Iterable

from service.errors import InvalidRequest
from service.http.integrations.requests import between, our_request
from service.http.integrations.xanylabeling.schemas import Mark, Parameters, PointMark, PredictBody, RectangleMark
from weaksam.schemas import JsonDetectRequest
from weaksam.segment_schemas import JsonSegmentRequest, PixelBox

MARKS = "params.marks"


def wants_clicked(params: Parameters) -> bool:
    """Return whether the mask of what is clicked is wanted, and not what is tagged."""
    return params.current_task == "click" or (params.current_task is None and bool(params.marks))


def detect_request(body: PredictBody) -> JsonDetectRequest:
    """Return the request for what is tagged: the classes that are picked, and those in the text field."""
    params = body.params
    return our_request(
        JsonDetectRequest,
        body.image,
        {"tags": "params.text_prompt"},
        tags=(*params.filter_classes, *_tags(params.text_prompt)),
        mask_format="none" if params.current_task == "boxes" else "polygon",
        min_score=params.conf_threshold or None,
    )


def segment_request(body: PredictBody) -> JsonSegmentRequest:
    """Return the request for the mask of what is clicked.

    Raises:
        InvalidRequest: there are several rectangles, or no mark that lies on the object.
    """
    marks = body.params.marks
    points = [(*mark.data, mark.label) for mark in marks if isinstance(mark, PointMark)]
    places = {"points": MARKS, "box": MARKS}
    return our_request(JsonSegmentRequest, body.image, places, points=points, box=_box(marks), mask_format="polygon")


def _tags(text_prompt: str) -> Iterable[str]:
    return filter(None, (text.strip() for text in re.split(r"[,.;\n]", text_prompt)))


def _box(marks: Iterable[Mark]) -> PixelBox | None:
    corners = [mark.data for mark in marks if isinstance(mark, RectangleMark)]
    if len(corners) > 1:
        raise InvalidRequest.of_field(MARKS, f"has {len(corners)} rectangles: leave one, around one object")
    return between(corners[0]) if corners else None
