"""Errors of a request. Each class holds what a client gets: code, HTTP status, title and remedy.

    ServiceError
    ├── RequestError: the request is at fault, and fails again if it is sent again
    │   ├── InvalidRequest, UnknownTag, TooManyTags
    │   ├── ImageBroken, NotAnImage, UnsupportedMediaType, ImageTooLarge, BodyTooLarge
    │   ├── UploadTimeout, ClientGone, ImageNotCached
    │   ├── ImageUrlRefused, ImageUnreachable: an integration fetches the image
    │   ├── Unauthorized, Forbidden, RateLimited
    │   └── NotFound, MethodNotAllowed: raised by routing
    ├── CapacityError: the service cannot respond now; another attempt may succeed
    │   └── Busy, NotReady, BackendUnavailable, DeadlineExceeded
    ├── ReloadFailed
    └── InternalError: any other exception
        └── BackendFailure

All become problem documents (RFC 9457). `BackendMismatch` is none of them: it stops the service at its start.
A new error is a new class here; `python -m service.http.error_table` prints the table of docs/api.md.
"""

from __future__ import annotations

from typing import Any, ClassVar

from weaksam.errors import UserError


class ServiceError(Exception):
    """An error that a client gets; responses carry `public_detail`, the log carries `detail`.

    Args:
        detail: a sentence that names the field, the value and the remedy.
        retry_after_s: whole seconds after which another attempt makes sense.
        extras: further members of the problem document.

    Attributes:
        code: stable name of the error, for programs.
        status: HTTP status.
        title: short sentence that never changes.
        remedy: what the caller can do.
    """

    code: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]
    remedy: ClassVar[str]

    def __init__(self, detail: str, *, retry_after_s: int | None = None, **extras: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.extras = extras

    @property
    def public_detail(self) -> str:
        """What a client may read: the detail, unless it is about the inside of the service."""
        return self.detail


class RequestError(ServiceError):
    """The request is at fault."""


class CapacityError(ServiceError):
    """The service cannot respond now, and may later."""


class InvalidRequest(RequestError):
    code, status = "invalid_request", 422
    title = "The request is not valid"
    remedy = "Correct what `detail` names."

    @classmethod
    def of_field(cls, field: str, message: str) -> InvalidRequest:
        """Return the error of one field; the message goes on after its name."""
        return cls(f"{field} {message}", errors=[{"field": field, "message": message}])


class UnknownTag(RequestError):
    code, status = "unknown_tag", 422
    title = "A tag is not among the labels"
    remedy = "Use a label from GET /labels, or send unknown_tags=skip."


class TooManyTags(RequestError):
    code, status = "too_many_tags", 422
    title = "Too many tags"
    remedy = "Send fewer tags, or none: then the models propose tags."


class ImageBroken(RequestError):
    code, status = "image_broken", 422
    title = "The image is damaged"
    remedy = "Send the whole, undamaged file."


class NotAnImage(RequestError):
    code, status = "not_an_image", 415
    title = "The bytes are not an image"
    remedy = "Send a JPEG, PNG, WebP, AVIF, TIFF, BMP or GIF file."


class ImageNotCached(RequestError):
    code, status = "image_not_cached", 404
    title = "The image is not cached"
    remedy = "Send the image itself."


class ImageUrlRefused(RequestError):
    code, status = "image_url_refused", 422
    title = "The image's address is not allowed"
    remedy = "Ask whoever runs the service to allow its host."


class ImageUnreachable(RequestError):
    code, status = "image_unreachable", 422
    title = "The image cannot be fetched"
    remedy = "Check that the service can reach its address."


class UnsupportedMediaType(RequestError):
    code, status = "unsupported_media_type", 415
    title = "The body is not of a supported kind"
    remedy = "Send the body as `detail` says."


class ImageTooLarge(RequestError):
    code, status = "image_too_large", 413
    title = "The image has too many pixels"
    remedy = "Scale the image down."


class BodyTooLarge(RequestError):
    code, status = "body_too_large", 413
    title = "The body has too many bytes"
    remedy = "Compress the image or scale it down."


class UploadTimeout(RequestError):
    code, status = "upload_timeout", 408
    title = "The body took too long to arrive"
    remedy = "Send the request again, over a faster line or with a smaller image."


class ClientGone(RequestError):
    """The client does not see this one; log and metrics do."""

    code, status = "client_gone", 499
    title = "The client closed the connection"
    remedy = "Keep the connection open until the response comes."


class Unauthorized(RequestError):
    code, status = "unauthorized", 401
    title = "An API key is needed"
    remedy = "Send `Authorization: Bearer KEY` with a key that is known."


class Forbidden(RequestError):
    code, status = "forbidden", 403
    title = "This path needs an administrator's API key"
    remedy = "Send a key that was made with `weaksam keys add --admin`."


class RateLimited(RequestError):
    code, status = "rate_limited", 429
    title = "The API key has used up its rate"
    remedy = "Send the request again after Retry-After seconds."


class NotFound(RequestError):
    code, status = "not_found", 404
    title = "There is no such path"
    remedy = "Open /docs, which lists all paths."


class MethodNotAllowed(RequestError):
    code, status = "method_not_allowed", 405
    title = "The method is not allowed here"
    remedy = "Use a method that the header `Allow` lists."


class Busy(CapacityError):
    code, status = "busy", 503
    title = "The service is busy"
    remedy = "Send the request again after Retry-After seconds."


class NotReady(CapacityError):
    code, status = "not_ready", 503
    title = "The service is not ready"
    remedy = "Wait until GET /readyz returns 200."


class BackendUnavailable(CapacityError):
    code, status = "backend_unavailable", 503
    title = "The inference backend is unavailable"
    remedy = "Send the request again after Retry-After seconds."


class DeadlineExceeded(CapacityError):
    code, status = "deadline_exceeded", 504
    title = "The service did not finish in time"
    remedy = "Send the request again, or a smaller image."


class ReloadFailed(ServiceError):
    """API keys or bundle cannot be reloaded; the detail is for the administrator who asked."""

    code, status = "reload_failed", 500
    title = "The reload failed, what was loaded before stays in use"
    remedy = "Correct what `detail` names, then reload again."


class InternalError(ServiceError):
    """The fault is ours. The detail goes to the log, never to the client."""

    code, status = "internal_error", 500
    title = "Internal error"
    remedy = "Send the request again. If it fails again, tell whoever runs the service the request_id."

    @property
    def public_detail(self) -> str:
        """What a client may read of any fault of ours."""
        return "the fault is in the service, not in the request; the log has more under the request_id"


class BackendFailure(InternalError):
    """The backend refused or failed to run a graph."""


class BackendMismatch(UserError):
    """A backend that cannot serve the bundle; the message names the graph, the tensor or the device."""
