"""The pages of the service; each handler is one call."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from service.errors import PROBLEM_MEDIA_TYPE, PROBLEM_TYPES, Code
from service.http.body import read_request
from service.http.key_guard import require_admin
from service.http.openapi import reference
from service.observability.metrics import MEDIA_TYPE as METRICS_MEDIA_TYPE
from service.runtime.admission import while_connected
from service.runtime.lifecycle import Operations
from service.runtime.request_handler import Detector
from weaksam.schemas import (
    DetectParameters,
    DetectRequest,
    DetectResult,
    JsonDetectRequest,
    LabelRow,
    LabelsAnswer,
    Problem,
    ReloadAnswer,
    StateAnswer,
)

PNG, JSON = "image/png", "application/json"
BINARY = {"type": "string", "format": "binary"}
PROBLEM_CONTENT = {PROBLEM_MEDIA_TYPE: {"schema": reference(Problem)}}
REQUEST_CODES: tuple[Code, ...] = (
    "invalid_request",
    "unknown_tag",
    "too_many_tags",
    "image_broken",
    "not_an_image",
    "unsupported_media_type",
    "image_too_large",
    "body_too_large",
    "upload_timeout",
)
KEY_CODES: tuple[Code, ...] = ("unauthorized", "forbidden", "rate_limited")
CAPACITY_CODES: tuple[Code, ...] = ("busy", "backend_unavailable", "deadline_exceeded", "internal_error")
REQUEST_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {"schema": reference(DetectRequest)},
        "image/*": {"schema": BINARY},
        "application/octet-stream": {"schema": BINARY},
        JSON: {"schema": reference(JsonDetectRequest)},
    },
}


def _problems(*codes: Code) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's responses for the given codes."""
    by_status: dict[int | str, list[str]] = {}
    for code in codes:
        by_status.setdefault(PROBLEM_TYPES[code].status, []).append(f"`{code}`")
    return {
        status: {"description": f"Code {' or '.join(found)}.", "content": PROBLEM_CONTENT}
        for status, found in by_status.items()
    }


router = APIRouter()


@router.post(
    "/detect",
    summary="Boxes and masks of the tagged things in a picture",
    response_model=DetectResult,
    responses={
        200: {
            "description": "What was found; with `Accept: image/png` drawn.",
            "content": {PNG: {"schema": BINARY}},
        },
        **_problems(*REQUEST_CODES, "unauthorized", "rate_limited", *CAPACITY_CODES),
    },
    openapi_extra={"requestBody": REQUEST_BODY},
)
async def detect(request: Request, query: Annotated[DetectParameters, Query()]) -> Response:
    """Send a form with a file `image` and its `tags`, the file itself, or JSON with the file in base64.

    Options may stand in the query or, in a form or JSON, beside the image. Only tagged classes come back, and every
    tag has a row in `tags` that says what became of it.
    """
    overlay = wants_png(request.headers.get("accept", ""))
    detector = _detector(request)
    asked = await read_request(request, query, detector.upload_s)
    answer = await while_connected(request.receive, detector.detect(asked, overlay=overlay))
    return Response(answer, media_type=PNG if overlay else JSON)


@router.get("/labels", summary="The labels that a tag can mean", response_model=LabelsAnswer)
async def labels(request: Request) -> LabelsAnswer:
    """Names, aliases and calibrated thresholds of the bundle's labels."""
    pipeline = _detector(request).pipeline
    thresholds = pipeline.bundle.thresholds
    rows = zip(pipeline.bundle.labels, thresholds.classifier, thresholds.detector or thresholds.score, strict=True)
    return LabelsAnswer(
        labels=tuple(
            LabelRow(name=label.name, aliases=label.aliases, classifier_threshold=classifier, min_score=score)
            for label, classifier, score in rows
        ),
        bundle=pipeline.info,
    )


@router.get("/livez", summary="Whether the process runs", response_model=StateAnswer)
async def livez() -> StateAnswer:
    """Always 200: restart the process where this gives no answer."""
    return StateAnswer(status="alive")


@router.get(
    "/readyz", summary="Whether requests can be answered", response_model=StateAnswer, responses=_problems("not_ready")
)
async def readyz(request: Request) -> StateAnswer:
    """503 until a real inference has passed through the whole pipeline."""
    await _operations(request).check_ready()
    return StateAnswer(status="ready")


@router.get("/metrics", summary="Metrics in Prometheus' text format", response_class=Response)
async def metrics(request: Request) -> Response:
    """Requests, stages, encodes, cache, queue and tags."""
    return Response(_detector(request).pipeline.metrics.render(), media_type=METRICS_MEDIA_TYPE)


@router.post(
    "/admin/reload",
    summary="Load keys and bundle again from where they are configured",
    response_model=ReloadAnswer,
    responses=_problems(*KEY_CODES, "reload_failed"),
)
async def reload(request: Request) -> ReloadAnswer:
    """For an administrator's key. Takes no path: what is served is decided where the service is configured.

    The new bundle takes over after a warm-up inference; where it fails, the old one stays. The answer comes when the
    last request of the old one has been answered.
    """
    require_admin(request)
    return await _operations(request).reload()


def wants_png(accept: str) -> bool:
    """Whether an Accept header prefers a PNG to JSON; where it likes both alike but names one, that one."""
    png = max(_quality(accept, PNG), _quality(accept, "image/*"))
    return png > 0 and png >= max(_quality(accept, JSON), _quality(accept, "*/*"))


def _quality(accept: str, media_type: str) -> float:
    for entry in accept.lower().split(","):
        name, *parameters = (part.strip() for part in entry.split(";"))
        if name == media_type:
            given = [text.removeprefix("q=") for text in parameters if text.startswith("q=")]
            return float(given[0]) if given and given[0].replace(".", "", 1).isdecimal() else 1.0
    return 0.0


def _detector(request: Request) -> Detector:
    detector: Detector = request.app.state.detector
    return detector


def _operations(request: Request) -> Operations:
    operations: Operations = request.app.state.operations
    return operations
