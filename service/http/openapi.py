"""The OpenAPI document, with the schemas that no route declares."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.errors import RateLimited, ServiceError, Unauthorized
from weaksam.problem_schemas import PROBLEM_MEDIA_TYPE, Problem
from weaksam.schemas import DetectRequest, JsonDetectRequest
from weaksam.segment_schemas import JsonSegmentRequest, SegmentRequest

# What the server itself responds to bytes that are no HTTP request.
NO_HTTP = {"description": "The request is not HTTP.", "content": {"text/plain": {"schema": {"type": "string"}}}}
REF_TEMPLATE = "#/components/schemas/{model}"
UNDECLARED: tuple[type[BaseModel], ...] = (
    DetectRequest,
    JsonDetectRequest,
    SegmentRequest,
    JsonSegmentRequest,
    Problem,
)


def reference(model: type[BaseModel]) -> dict[str, str]:
    """Return a reference to the schema of a model, which a route or `UNDECLARED` must name."""
    return {"$ref": REF_TEMPLATE.format(model=model.__name__)}


def problem_responses(*kinds: type[ServiceError]) -> dict[str, dict[str, Any]]:
    """Return OpenAPI's responses for the given errors, by status."""
    codes: dict[str, list[str]] = {}
    for kind in kinds:
        codes.setdefault(str(kind.status), []).append(f"`{kind.code}`")
    content = {PROBLEM_MEDIA_TYPE: {"schema": reference(Problem)}}
    return {
        status: {"description": f"Code {' or '.join(found)}.", "content": content} for status, found in codes.items()
    }


def complete_openapi(app: FastAPI, open_paths: frozenset[str] | None) -> Callable[[], dict[str, Any]]:
    """Return `app.openapi` with the schemas of `UNDECLARED`, and with API keys if the service has some.

    Args:
        open_paths: paths that need no key; None if the service has no keys.
    """
    document_of_routes = app.openapi

    @cache
    def openapi() -> dict[str, Any]:
        document = document_of_routes()
        _, schemas = models_json_schema([(model, "validation") for model in UNDECLARED], ref_template=REF_TEMPLATE)
        document["components"]["schemas"].update(schemas["$defs"])
        for operations in document["paths"].values():
            for operation in operations.values():
                operation["responses"]["400"] = NO_HTTP
        if open_paths is not None:
            _declare_keys(document, open_paths)
        return document

    return openapi


def _declare_keys(document: dict[str, Any], open_paths: frozenset[str]) -> None:
    document["components"]["securitySchemes"] = {"ApiKey": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"ApiKey": []}]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path in open_paths:
                operation["security"] = []
            else:
                operation["responses"] = problem_responses(Unauthorized, RateLimited) | operation["responses"]
