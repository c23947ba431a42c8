"""Problem documents (RFC 9457), in which the service and the review server tell their errors."""

from __future__ import annotations

import json

from pydantic import Field

from weaksam.mask_schemas import Document

PROBLEM_MEDIA_TYPE = "application/problem+json"


class FieldError(Document):
    """What is wrong with one field of a request."""

    field: str = Field(description="Its place in the request, such as `box` or `points[0][1]`.")
    message: str


class UnknownTagRow(Document):
    """A tag that is no label, with the labels spelled most like it."""

    tag: str
    nearest: tuple[str, ...]


class Problem(Document):
    """RFC 9457 problem document."""

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable; what a program should look at.")
    remedy: str
    request_id: str
    errors: tuple[FieldError, ...] | None = Field(None, description="With `invalid_request`, if fields are at fault.")
    unknown: tuple[UnknownTagRow, ...] | None = Field(None, description="With `unknown_tag`.")

    def body(self) -> bytes:
        """Return JSON in ASCII: what a detail quotes of a request may be no UTF-8."""
        return json.dumps(self.model_dump(mode="json", exclude_none=True)).encode("ascii")


def problem_type(code: str) -> str:
    """Return the URI of an error's kind."""
    return f"urn:weaksam:problem:{code}"
