"""The OpenAPI document, with the schemas that no route declares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from weaksam.schemas import DetectRequest, JsonDetectRequest, Problem
from weaksam.segment_schemas import JsonSegmentRequest, SegmentRequest

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


def complete_openapi(app: FastAPI, open_paths: frozenset[str] | None) -> Callable[[], dict[str, Any]]:
    """Return `app.openapi` with the schemas of `UNDECLARED`, and with API keys if the service has some.

    Args:
        open_paths: paths that need no key; None if the service has no keys.
    """
    document_of_routes = app.openapi

    def openapi() -> dict[str, Any]:
        document = document_of_routes()
        _, schemas = models_json_schema([(model, "validation") for model in UNDECLARED], ref_template=REF_TEMPLATE)
        document["components"]["schemas"].update(schemas["$defs"])
        if open_paths is not None:
            _declare_keys(document, open_paths)
        return document

    return openapi


def _declare_keys(document: dict[str, Any], open_paths: frozenset[str]) -> None:
    document["components"]["securitySchemes"] = {"ApiKey": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"ApiKey": []}]
    for path in open_paths & document["paths"].keys():
        for operation in document["paths"][path].values():
            operation["security"] = []
