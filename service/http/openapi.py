"""The OpenAPI document, with the schemas that no route declares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from weaksam.schemas import DetectRequest, JsonDetectRequest, Problem

REF_TEMPLATE = "#/components/schemas/{model}"
UNDECLARED: tuple[type[BaseModel], ...] = (DetectRequest, JsonDetectRequest, Problem)


def reference(model: type[BaseModel]) -> dict[str, str]:
    """Return a reference to the schema of a model, which a route or `UNDECLARED` must name."""
    return {"$ref": REF_TEMPLATE.format(model=model.__name__)}


def complete_openapi(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """Return `app.openapi` with the schemas of `UNDECLARED` among its components."""
    document_of_routes = app.openapi

    def openapi() -> dict[str, Any]:
        document = document_of_routes()
        _, schemas = models_json_schema([(model, "validation") for model in UNDECLARED], ref_template=REF_TEMPLATE)
        document["components"]["schemas"].update(schemas["$defs"])
        return document

    return openapi
