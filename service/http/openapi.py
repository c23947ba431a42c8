"""The OpenAPI document, with the bodies and problems that FastAPI cannot see for itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from weaksam.schemas import DetectRequest, JsonDetectRequest, Problem

REF_TEMPLATE = "#/components/schemas/{model}"
UNSEEN: tuple[type[BaseModel], ...] = (DetectRequest, JsonDetectRequest, Problem)


def reference(model: type[BaseModel]) -> dict[str, str]:
    """The schema of a model by reference; for a model of `UNSEEN` or one that a route declares."""
    return {"$ref": REF_TEMPLATE.format(model=model.__name__)}


def complete_openapi(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """`app.openapi` with the schemas of `UNSEEN` among its components."""
    document_of_routes = app.openapi

    def openapi() -> dict[str, Any]:
        document = document_of_routes()
        _, schemas = models_json_schema([(model, "validation") for model in UNSEEN], ref_template=REF_TEMPLATE)
        document["components"]["schemas"].update(schemas["$defs"])
        return document

    return openapi
