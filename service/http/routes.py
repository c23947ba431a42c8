"""The routes of the service; each handler is one call."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from service import errors
from service.errors import ServiceError
from service.http.app_state import handler_of, lifecycle_of
from service.http.key_guard import require_admin
from service.http.openapi import problem_responses, reference
from service.http.paths import add_variants
from service.http.request_body import read_request, read_segment_request
from service.observability.metrics import MEDIA_TYPE as METRICS_MEDIA_TYPE
from service.runtime.admission import while_connected
from weaksam.mask_schemas import MaskOptions
from weaksam.schemas import (
    DetectFields,
    DetectRequest,
    DetectResult,
    JsonDetectRequest,
    LabelRow,
    LabelsResponse,
    ReloadResponse,
    StateResponse,
)
from weaksam.segment_schemas import JsonSegmentRequest, SegmentRequest, SegmentResult

PNG, JSON = "image/png", "application/json"
BINARY = {"type": "string", "format": "binary"}
REQUEST_ERRORS = (
    errors.InvalidRequest,
    errors.UnknownTag,
    errors.TooManyTags,
    errors.ImageBroken,
    errors.NotAnImage,
    errors.UnsupportedMediaType,
    errors.ImageTooLarge,
    errors.BodyTooLarge,
    errors.UploadTimeout,
)
TAG_ERRORS = (errors.UnknownTag, errors.TooManyTags)
CAPACITY_ERRORS = (errors.Busy, errors.BackendUnavailable, errors.DeadlineExceeded, errors.InternalError)
REQUEST_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {"schema": reference(DetectRequest)},
        "image/*": {"schema": BINARY},
        "application/octet-stream": {"schema": BINARY},
        JSON: {"schema": reference(JsonDetectRequest)},
    },
}
SEGMENT_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {"schema": reference(SegmentRequest)},
        JSON: {"schema": reference(JsonSegmentRequest)},
    },
}


def _problems(*kinds: type[ServiceError]) -> dict[int | str, dict[str, Any]]:
    return {int(status): response for status, response in problem_responses(*kinds).items()}


router = APIRouter()


@router.post(
    "/detect",
    summary="Boxes and masks of the tagged things in an image",
    response_model=DetectResult,
    responses={
        200: {
            "description": "The detections; with `Accept: image/png`, drawn on the image.",
            "content": {PNG: {"schema": BINARY}},
        },
        **_problems(*REQUEST_ERRORS, errors.Unauthorized, errors.RateLimited, *CAPACITY_ERRORS),
    },
    openapi_extra={"requestBody": REQUEST_BODY},
)
async def detect(request: Request, query: Annotated[DetectFields, Query()]) -> Response:
    """Send a form with a file `image` and its `tags`, the file itself, or JSON with the file in base64.

    Options go into the query or, in a form or JSON, beside the image. Only tagged classes come back. Every tag has a
    row in `tags` that says what became of it.
    """
    handler = handler_of(request)
    detect_request = await read_request(request, query, handler.upload_s)
    if wants_png(request.headers.get("accept", "")):
        png = await while_connected(request.receive, handler.overlay(detect_request))
        return Response(png, media_type=PNG)
    result = await while_connected(request.receive, handler.detect(detect_request))
    return Response(result.model_dump_json(), media_type=JSON)


@router.post(
    "/segment",
    summary="Masks of the thing that points or a box show",
    response_model=SegmentResult,
    responses=_problems(
        *(error for error in REQUEST_ERRORS if error not in TAG_ERRORS),
        errors.ImageNotCached,
        errors.Unauthorized,
        errors.RateLimited,
        *CAPACITY_ERRORS,
    ),
    openapi_extra={"requestBody": SEGMENT_BODY},
)
async def segment(request: Request, query: Annotated[MaskOptions, Query()]) -> Response:
    """Send an image with points or a box of one object. The masks that they may mean come back, the surest first.

    The image is encoded once: send `image.sha256` of the response with the next points, and not the image again.
    """
    handler = handler_of(request)
    segment_request = await read_segment_request(request, query, handler.upload_s)
    result = await while_connected(request.receive, handler.segment(segment_request))
    return Response(result.model_dump_json(), media_type=JSON)


@router.get("/labels", summary="The labels that a tag can mean", response_model=LabelsResponse)
async def labels(request: Request) -> LabelsResponse:
    """Return names, aliases and calibrated thresholds of the bundle's labels."""
    pipeline = handler_of(request).pipeline
    thresholds = pipeline.bundle.thresholds
    detector = thresholds.detector or thresholds.score
    rows = zip(pipeline.bundle.labels, thresholds.classifier, detector, thresholds.score, strict=True)
    return LabelsResponse(
        labels=tuple(
            LabelRow(
                name=label.name,
                aliases=label.aliases,
                classifier_threshold=classifier,
                min_score=min_score,
                wsod_min_score=wsod_min_score,
            )
            for label, classifier, min_score, wsod_min_score in rows
        ),
        bundle=pipeline.info,
    )


@router.get("/livez", summary="Whether the process runs", response_model=StateResponse)
async def livez() -> StateResponse:
    """Return 200. Restart the process if there is no response."""
    return StateResponse(status="alive")


@router.get(
    "/readyz",
    summary="Whether the service is ready for requests",
    response_model=StateResponse,
    responses=_problems(errors.NotReady),
)
async def readyz(request: Request) -> StateResponse:
    """Return 503 until a real inference has passed through the whole pipeline."""
    await lifecycle_of(request).check_ready()
    return StateResponse(status="ready")


@router.get("/metrics", summary="Metrics in Prometheus' text format", response_class=Response)
async def metrics(request: Request) -> Response:
    """Return the metrics of requests, stages, encodes, cache, queue and tags."""
    return Response(handler_of(request).pipeline.metrics.render(), media_type=METRICS_MEDIA_TYPE)


@router.post(
    "/admin/reload",
    summary="Load the configured keys and bundle again",
    response_model=ReloadResponse,
    responses=_problems(errors.Unauthorized, errors.Forbidden, errors.RateLimited, errors.ReloadFailed),
)
async def reload(request: Request) -> ReloadResponse:
    """Load keys and bundle again. This needs an administrator's key, and takes no path: the configuration decides.

    The new bundle takes over after a warm-up inference; if that fails, the old one stays. The response comes after the
    last request of the old bundle.
    """
    require_admin(request)
    return await lifecycle_of(request).reload()


add_variants(router)


def wants_png(accept: str) -> bool:
    """Return whether an Accept header prefers PNG to JSON. If both weigh the same, the one that it names wins."""
    png = max(_quality(accept, PNG), _quality(accept, "image/*"))
    return png > 0 and png >= max(_quality(accept, name) for name in (JSON, "application/*", "*/*"))


def _quality(accept: str, media_type: str) -> float:
    for entry in accept.lower().split(","):
        name, *parameters = (part.strip() for part in entry.split(";"))
        if name == media_type:
            given = [text.removeprefix("q=") for text in parameters if text.startswith("q=")]
            return float(given[0]) if given and given[0].replace(".", "", 1).isdecimal() else 1.0
    return 0.0
