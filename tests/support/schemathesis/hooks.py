"""Checks of our own for schemathesis: what the schema allows, and what it does not."""

from __future__ import annotations

from typing import Any

import schemathesis
from schemathesis.specs.openapi.checks import negative_data_rejection

# The request was understood: its image cannot be used, or a tag is no label of the bundle.
ABOUT_CONTENT = frozenset({"not_an_image", "image_broken", "image_too_large", "unknown_tag", "too_many_tags"})
BEYOND_THE_SCHEMA = (
    "x0 must be below",
    "give a box, or",
    "is missing: send it, or",
    "is sent beside",
    ", outside of the image",
)


def _is_beyond_the_schema(message: str) -> bool:
    return any(words in message for words in BEYOND_THE_SCHEMA)


@schemathesis.check
def a_valid_request_is_refused_for_its_content_only(ctx: Any, response: Any, case: Any) -> None:
    positive = case.meta is not None and case.meta.generation.mode == schemathesis.GenerationMode.POSITIVE
    if positive and 400 <= response.status_code < 500:
        problem = response.json()
        rows = problem.get("errors") or ()
        # So are a text that begins like a JSON list and is none, and what a schema cannot say.
        beyond = all(row["field"] == "tags" or _is_beyond_the_schema(row["message"]) for row in rows)
        assert problem["code"] in ABOUT_CONTENT or beyond, problem["detail"]
        # Of what is not found, only an image that is named by its digest may be meant.
        assert response.status_code != 404 or problem["code"] == "image_not_cached", problem["detail"]


@schemathesis.check
def what_the_schema_forbids_is_refused(ctx: Any, response: Any, case: Any) -> None:
    # In a form, an empty list looks like an option left out, and null like a text.
    if case.media_type != "multipart/form-data":
        negative_data_rejection(ctx, response, case)
