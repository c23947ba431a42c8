"""Errors to RFC 9457 answers: the one place where an exception becomes HTTP."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from service.errors import PROBLEM_MEDIA_TYPE, PROBLEM_TYPES, Code, ServiceError
from service.http.validation import invalid_request
from service.observability.logs import LOGGER_NAME, REQUEST_ID

CODE_OF_STATUS: Mapping[int, Code] = {404: "not_found", 405: "method_not_allowed"}
INTERNAL_DETAIL = "something went wrong here, not in the request; the log has more under the request_id"

logger = logging.getLogger(LOGGER_NAME)


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every error that `app` can raise with a problem document."""
    app.exception_handler(ServiceError)(_on_service_error)
    app.exception_handler(HTTPException)(_on_http_exception)
    app.exception_handler(RequestValidationError)(_on_validation_error)


def problem(
    request: Request,
    code: Code,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    extras: Mapping[str, Any] | None = None,
) -> Response:
    """The answer for one code; notes the code for the log and the metrics."""
    request.state.problem_code = code
    kind = PROBLEM_TYPES[code]
    document = {
        "type": f"urn:weaksam:problem:{code}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "code": code,
        "remedy": kind.remedy,
        "request_id": REQUEST_ID.get(),
        **(extras or {}),
    }
    return Response(json.dumps(document), kind.status, headers, PROBLEM_MEDIA_TYPE)


def internal_problem(request: Request) -> Response:
    """What a client is told of an error of ours: no more than where to look."""
    return problem(request, "internal_error", INTERNAL_DETAIL)


def service_problem(request: Request, error: ServiceError) -> Response:
    """The answer for one of our own errors."""
    if error.code == "internal_error":
        logger.error("internal error", exc_info=error)
        return internal_problem(request)
    headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
    if error.code == "unauthorized":
        headers["WWW-Authenticate"] = 'Bearer realm="weaksam"'
    return problem(request, error.code, error.detail, headers=headers, extras=error.extras)


async def _on_service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    return service_problem(request, error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = CODE_OF_STATUS.get(error.status_code, "invalid_request")
    detail = f"{request.method} {request.url.path}: {error.detail}"
    return problem(request, code, detail, headers=error.headers)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return service_problem(request, invalid_request(error.errors()))
