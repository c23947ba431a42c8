"""The routes of X-AnyLabeling's remote server. Errors are problem documents with a status that its client shows."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from service.errors import InvalidRequest
from service.http.app_state import handler_of
from service.http.integrations.xanylabeling import shapes
from service.http.integrations.xanylabeling.models import MODEL, models_document
from service.http.integrations.xanylabeling.requests import detect_request, segment_request, wants_clicked
from service.http.integrations.xanylabeling.schemas import PredictBody, success
from service.http.paths import add_variants
from service.http.request_body import read_json
from service.runtime.admission import while_connected

PREFIX = "/xanylabeling"
router = APIRouter(prefix=PREFIX, include_in_schema=False)


@router.get("/v1/models")
async def models(request: Request) -> dict[str, Any]:
    """Return the one model with the labels of the active bundle."""
    pipeline = handler_of(request).pipeline
    return success(models_document(pipeline.info, [label.name for label in pipeline.bundle.labels]))


@router.post("/v1/predict")
async def predict(request: Request) -> dict[str, Any]:
    """Return shapes of what is tagged, or of what is clicked."""
    handler = handler_of(request)
    body = await read_json(request, PredictBody, handler.upload_s)
    if body.model != MODEL:
        raise InvalidRequest.of_field("model", f"is {body.model!r}: choose {MODEL!r}, the only one here")
    if not wants_clicked(body.params):
        return success(shapes.detected(await while_connected(request.receive, handler.detect(detect_request(body)))))
    if not body.params.marks:  # what the client sends when its user takes the last mark away
        return success({"shapes": [], "description": "", "replace": False})
    return success(shapes.clicked(await while_connected(request.receive, handler.segment(segment_request(body)))))


add_variants(router)
