"""Exceptions to problem documents (RFC 9457): the one place that turns an error into HTTP."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from service.errors import (
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    ServiceError,
    Unauthorized,
)
from service.http.validation import invalid_request
from service.observability.logs import LOGGER_NAME, REQUEST_ID
from weaksam.findings import Finding
from weaksam.problem_schemas import PROBLEM_MEDIA_TYPE, Problem, problem_type

# What routing raises; any other status is a request that cannot be read.
ROUTING_ERRORS: Mapping[int, type[ServiceError]] = {error.status: error for error in (NotFound, MethodNotAllowed)}

logger = logging.getLogger(LOGGER_NAME)


def add_problem_handlers(app: FastAPI) -> None:
    """Let ``app`` respond to every error with a problem document."""
    app.exception_handler(ServiceError)(_on_service_error)
    app.exception_handler(HTTPException)(_on_http_exception)
    app.exception_handler(RequestValidationError)(_on_validation_error)


def problem(request: Request, error: ServiceError, headers: Mapping[str, str] | None = None) -> Response:
    """Return the response for an error, and note its code for the log and the metrics."""
    request.state.problem_code = error.code
    document = Problem(
        type=problem_type(error.code),
        title=error.title,
        status=error.status,
        detail=error.public_detail,
        code=error.code,
        remedy=error.remedy,
        request_id=REQUEST_ID.get() or "",
        **error.extras,
    )
    return Response(document.body(), error.status, {**_headers(error), **(headers or {})}, PROBLEM_MEDIA_TYPE)


def _headers(error: ServiceError) -> dict[str, str]:
    headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = 'Bearer realm="weaksam"'
    return headers


async def _on_service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    if isinstance(error, InternalError):
        logger.error("internal error", exc_info=error)
    return problem(request, error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = ROUTING_ERRORS.get(error.status_code, InvalidRequest)
    # FastAPI's own sentence about a body that it cannot read names no remedy.
    told = "the body cannot be read: send one JSON object in UTF-8" if kind is InvalidRequest else error.detail
    headers = dict(error.headers or {})
    if headers.get("Allow") == "GET":
        headers["Allow"] = "GET, HEAD"  # HEAD has a route of its own, so that the OpenAPI document does not list it
    return problem(request, kind(f"{request.method} {request.url.path}: {told}"), headers)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    findings = map(_of_part, error.errors())
    return problem(request, invalid_request(findings, _known_fields(request.scope["route"])))


def _of_part(row: Finding) -> Finding:
    """Return a finding as of the query or the body alone: FastAPI puts `query` or `body` in front of its place."""
    if isinstance(row["input"], bytes):
        message = "is not sent as JSON: send the header Content-Type: application/json"
        return {"type": "media_type", "loc": (), "msg": message, "input": row["input"]}
    # Of a text that is no JSON, the place is the number of a character.
    return {**row, "loc": () if row["type"] == "json_invalid" else row["loc"][1:]}


def _known_fields(route: APIRoute) -> list[str]:
    """Return what the query or the body of a route may hold, by the schemas that its handler declares."""
    parameters = (*route.dependant.query_params, *route.dependant.body_params)
    schemas = (field.field_info.annotation for field in parameters)
    return [name for schema in schemas for name in getattr(schema, "model_fields", ())]
