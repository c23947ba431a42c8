"""The routes that CVAT's nuclio functions pass their bodies to."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request

from service.http.app_state import handler_of
from service.http.integrations.cvat import shapes
from service.http.integrations.cvat.schemas import DetectorBody, InteractorBody
from service.http.integrations.requests import between, our_request
from service.http.paths import add_variants
from service.http.request_body import read_json
from service.runtime.admission import while_connected
from weaksam.schemas import JsonDetectRequest
from weaksam.segment_schemas import JsonSegmentRequest

# Our fields, and the members of CVAT's body that they come from.
PLACES = {"points": "pos_points", "box": "obj_bbox"}

router = APIRouter(prefix="/cvat", include_in_schema=False)


@router.post("/detector")
async def detector(request: Request) -> list[dict[str, Any]]:
    """Return an annotation for each object of a frame."""
    handler = handler_of(request)
    body = await read_json(request, DetectorBody, handler.upload_s)
    ours = our_request(JsonDetectRequest, body.image, {}, tags=body.tags, min_score=body.threshold or None)
    result = await while_connected(request.receive, handler.detect(ours))
    return await asyncio.to_thread(shapes.detected, result)


@router.post("/interactor")
async def interactor(request: Request) -> dict[str, Any]:
    """Return the mask of the object that points or a box show."""
    handler = handler_of(request)
    body = await read_json(request, InteractorBody, handler.upload_s)
    ours = our_request(JsonSegmentRequest, body.image, PLACES, points=_points(body), box=between(body.obj_bbox))
    result = await while_connected(request.receive, handler.segment(ours))
    return await asyncio.to_thread(shapes.clicked, result)


def _points(body: InteractorBody) -> list[tuple[float, float, int]]:
    return [*((x, y, 1) for x, y in body.pos_points), *((x, y, 0) for x, y in body.neg_points)]


add_variants(router)
