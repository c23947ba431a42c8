"""Errors of the review server, each with its HTTP status, and the document that tells it.

ReviewError
├── ImageUnknown        404: no such image in the run, or its file is gone
├── NotAllowed          403: another site's page asks
├── ConflictingDecision 409: someone else has decided meanwhile
├── InvalidDecision     422: the decision contradicts itself or the image
├── BodyTooLarge        413: more than the service would take
├── NotStored           507: the disk does not take the decision
└── ServiceUnreachable  502: the service behind --server does not respond
"""

from __future__ import annotations

from http import HTTPStatus
from typing import ClassVar
from uuid import uuid4

from fastapi import Request, Response

from weaksam.problem_schemas import PROBLEM_MEDIA_TYPE, FieldError, Problem, problem_type


class ReviewError(Exception):
    """A refusal, with words for the reviewer."""

    status: ClassVar[HTTPStatus]
    code: ClassVar[str]
    title: ClassVar[str]
    remedy: ClassVar[str]

    def __init__(self, detail: str, *errors: FieldError) -> None:
        super().__init__(detail)
        self.errors = errors


class ImageUnknown(ReviewError):
    """The run has no such image, or its file cannot be found."""

    status, code, title = HTTPStatus.NOT_FOUND, "image_unknown", "No such image"
    remedy = "Check that --photos names the folder that was labelled."


class NotAllowed(ReviewError):
    """The page of another site asks."""

    status, code, title = HTTPStatus.FORBIDDEN, "not_allowed", "Requests of other sites are refused"
    remedy = "Open the address that `weaksam review` printed."


class ConflictingDecision(ReviewError):
    """Someone has decided since the reviewer saw the image."""

    status, code, title = HTTPStatus.CONFLICT, "conflicting_decision", "Someone else has decided"
    remedy = "Look at the image as it is now, and decide again if you disagree."


class InvalidDecision(ReviewError):
    """The decision cannot be stored."""

    status, code, title = HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_decision", "This decision cannot be stored"
    remedy = (
        "Send all objects with `corrected`, and none with another state. Labels are names, boxes lie in the image, and "
        "masks have its size."
    )

    @classmethod
    def of_field(cls, field: str, message: str) -> InvalidDecision:
        """Return the error of one member; the message goes on after its name."""
        return cls(f"{field} {message}", FieldError(field=field, message=message))


class NotStored(ReviewError):
    """The journal cannot be written."""

    status, code, title = HTTPStatus.INSUFFICIENT_STORAGE, "not_stored", "The decision is not stored"
    remedy = "Make room on the disk of --out, then decide again."


class BodyTooLarge(ReviewError):
    """The body is larger than any image that the service takes."""

    status, code, title = HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", "The request is too large"
    remedy = "Label smaller images."


class ServiceUnreachable(ReviewError):
    """The service does not respond."""

    status, code, title = HTTPStatus.BAD_GATEWAY, "service_unreachable", "The labelling service does not respond"
    remedy = "Start it, or give its address with --server. Accepting and rejecting work without it."


def problem_response(_: Request, error: Exception) -> Response:
    """Return the problem document of an error, in the form of the service's own."""
    assert isinstance(error, ReviewError)
    problem = Problem(
        type=problem_type(error.code),
        title=error.title,
        status=error.status,
        detail=str(error),
        code=error.code,
        remedy=error.remedy,
        request_id=uuid4().hex,
        errors=error.errors or None,
    )
    return Response(problem.body(), error.status, media_type=PROBLEM_MEDIA_TYPE)
