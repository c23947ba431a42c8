"""What can go wrong in a request, and how a client is told.

    ServiceError
    ├── RequestError                the request is at fault; sending it again will not help
    │   ├── InvalidRequest          invalid_request         422, `errors` lists each field
    │   ├── UnknownTag              unknown_tag             422, `unknown` lists each tag with the nearest labels
    │   ├── TooManyTags             too_many_tags           422
    │   ├── ImageBroken             image_broken            422
    │   ├── NotAnImage              not_an_image            415
    │   ├── UnsupportedMediaType    unsupported_media_type  415
    │   ├── ImageTooLarge           image_too_large         413
    │   ├── BodyTooLarge            body_too_large          413
    │   ├── UploadTimeout           upload_timeout          408
    │   ├── Unauthorized            unauthorized            401, WWW-Authenticate
    │   ├── Forbidden               forbidden               403
    │   ├── RateLimited             rate_limited            429, Retry-After
    │   └── ClientGone              client_gone             499, for the log and the metrics only
    ├── CapacityError               the service is at fault for now; worth another attempt
    │   ├── Busy                    busy                    503, Retry-After
    │   ├── NotReady                not_ready               503, Retry-After
    │   ├── BackendUnavailable      backend_unavailable     503, Retry-After
    │   └── DeadlineExceeded        deadline_exceeded       504
    ├── ReloadFailed                reload_failed           500, for administrators only
    └── BackendFailure              internal_error          500, its message goes to the log, never to the client

Routing adds `not_found` (404) and `method_not_allowed` (405); any other exception is an `internal_error`. All are
answered as RFC 9457 problems, media type ``application/problem+json``. `BackendMismatch` stops the service at start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

Code = Literal[
    "backend_unavailable",
    "body_too_large",
    "busy",
    "client_gone",
    "deadline_exceeded",
    "forbidden",
    "image_broken",
    "image_too_large",
    "internal_error",
    "invalid_request",
    "method_not_allowed",
    "not_an_image",
    "not_found",
    "not_ready",
    "rate_limited",
    "reload_failed",
    "too_many_tags",
    "unauthorized",
    "unknown_tag",
    "unsupported_media_type",
    "upload_timeout",
]

PROBLEM_MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True)
class ProblemType:
    """What one code means: HTTP status, a title that never changes, and what the caller can do."""

    status: int
    title: str
    remedy: str


PROBLEM_TYPES: Mapping[Code, ProblemType] = {
    "invalid_request": ProblemType(422, "The request is not valid", "Correct the fields that `errors` names."),
    "unknown_tag": ProblemType(
        422, "A tag is not among the labels", "Use a label from GET /labels, or send unknown_tags=skip."
    ),
    "too_many_tags": ProblemType(422, "Too many tags", "Send fewer tags, or none to have them proposed."),
    "image_broken": ProblemType(422, "The image is damaged", "Send the whole, undamaged file."),
    "not_an_image": ProblemType(415, "The bytes are not an image", "Send a JPEG, PNG, WebP, TIFF, BMP or GIF file."),
    "unsupported_media_type": ProblemType(
        415, "The Content-Type is not supported", "Send multipart/form-data, image/* or application/json."
    ),
    "image_too_large": ProblemType(413, "The image has too many pixels", "Scale the image down."),
    "body_too_large": ProblemType(413, "The body has too many bytes", "Compress the image or scale it down."),
    "upload_timeout": ProblemType(
        408, "The body took too long to arrive", "Send the request again, over a faster line or with a smaller image."
    ),
    "unauthorized": ProblemType(
        401, "An API key is needed", "Send `Authorization: Bearer KEY` with a key that is known."
    ),
    "forbidden": ProblemType(403, "The API key does not open this page", "Use the key of an administrator."),
    "rate_limited": ProblemType(
        429, "The API key has used up its rate", "Send the request again after Retry-After seconds."
    ),
    "client_gone": ProblemType(499, "The client closed the connection", "Keep the connection until the answer comes."),
    "busy": ProblemType(503, "The service is busy", "Send the request again after Retry-After seconds."),
    "not_ready": ProblemType(503, "The service is not ready", "Wait until GET /readyz answers 200."),
    "backend_unavailable": ProblemType(
        503, "The inference backend is unavailable", "Send the request again after Retry-After seconds."
    ),
    "deadline_exceeded": ProblemType(504, "The deadline has passed", "Send the request again, or a smaller image."),
    "internal_error": ProblemType(
        500, "Internal error", "Send the request again; if it fails again, report the request_id."
    ),
    "reload_failed": ProblemType(
        500, "What was loaded before stays in use", "Correct what `detail` names, then reload again."
    ),
    "not_found": ProblemType(404, "No such page", "See /docs for the pages there are."),
    "method_not_allowed": ProblemType(405, "The method is not allowed here", "Use a method that Allow names."),
}


class ServiceError(Exception):
    """An error with a stable code.

    Args:
        detail: a sentence that names the field, the value and the remedy.
        retry_after_s: whole seconds after which another attempt makes sense.
        extras: further members of the problem document.
    """

    code: ClassVar[Code]

    def __init__(self, detail: str, *, retry_after_s: int | None = None, **extras: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.extras = extras


class RequestError(ServiceError):
    """The request is at fault."""


class InvalidRequest(RequestError):
    code = "invalid_request"


class UnknownTag(RequestError):
    code = "unknown_tag"


class TooManyTags(RequestError):
    code = "too_many_tags"


class ImageBroken(RequestError):
    code = "image_broken"


class NotAnImage(RequestError):
    code = "not_an_image"


class UnsupportedMediaType(RequestError):
    code = "unsupported_media_type"


class ImageTooLarge(RequestError):
    code = "image_too_large"


class BodyTooLarge(RequestError):
    code = "body_too_large"


class UploadTimeout(RequestError):
    code = "upload_timeout"


class Unauthorized(RequestError):
    code = "unauthorized"


class Forbidden(RequestError):
    code = "forbidden"


class RateLimited(RequestError):
    code = "rate_limited"


class ClientGone(RequestError):
    code = "client_gone"


class CapacityError(ServiceError):
    """The service cannot answer now, and may later."""


class Busy(CapacityError):
    code = "busy"


class NotReady(CapacityError):
    code = "not_ready"


class BackendUnavailable(CapacityError):
    code = "backend_unavailable"


class DeadlineExceeded(CapacityError):
    code = "deadline_exceeded"


class ReloadFailed(ServiceError):
    """Keys or bundle could not be reloaded; the message is for the administrator who asked."""

    code = "reload_failed"


class BackendFailure(ServiceError):
    """The backend refused or failed to run a graph: our own fault."""

    code = "internal_error"


class BackendMismatch(ValueError):
    """A backend that cannot serve the bundle; the message names the graph, the tensor or the device."""
