"""The three ways to send a request, read into one form, and the bound on their size."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

import pydantic_core
from pydantic import ValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BodyTooLarge, Busy, ClientGone, InvalidRequest, UnsupportedMediaType, UploadTimeout
from service.http.validation import MOST_FINDINGS, invalid_request
from weaksam.schemas import AnyRequest, DetectParameters, DetectRequest, JsonDetectRequest

Body = TypeVar("Body")
Kind = TypeVar("Kind", DetectRequest, JsonDetectRequest)

# After refusing a body its rest is read and thrown away for so long: closing a socket with unread bytes in it resets
# the connection, and the client would lose the answer.
LINGER_S = 2.0


async def read_request(request: Request, query: DetectParameters, upload_s: float) -> AnyRequest:
    """The request in whichever way it was sent; what the body says goes before what the query says.

    Args:
        upload_s: longest time for the body to arrive.

    Raises:
        UnsupportedMediaType, InvalidRequest, BodyTooLarge: what was sent is wrong.
        UploadTimeout: the body is still not whole when the time is up.
        Busy: there is no room for it.
        ClientGone: the connection was closed in the middle.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    given = query.model_dump(exclude_unset=True)
    try:
        if media_type == "multipart/form-data":
            form = await _arrived(_read_form(request), upload_s)
            return await asyncio.to_thread(_validated, DetectRequest, given | form)
        if media_type == "application/json":
            return await asyncio.to_thread(_read_json, await _arrived(request.body(), upload_s), given)
        if media_type.startswith("image/") or media_type == "application/octet-stream":
            return _validated(DetectRequest, given | {"image": await _arrived(request.body(), upload_s)})
    except ClientDisconnect as error:
        raise ClientGone("the client closed the connection while it was sending the body") from error
    raise UnsupportedMediaType(
        f"Content-Type is {media_type!r}: send multipart/form-data with a file `image`, the file itself as image/*, "
        "or application/json with `image` in base64"
    )


async def _arrived(body: Coroutine[Any, Any, Body], upload_s: float) -> Body:
    try:
        async with asyncio.timeout(upload_s) as limit:
            return await body
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise UploadTimeout(
            f"the body did not arrive within {upload_s:g} s: send it faster, or a smaller image"
        ) from error


async def _read_form(request: Request) -> dict[str, Any]:
    try:
        async with request.form(max_files=1) as form:
            fields: dict[str, Any] = {name: form.getlist(name) for name in form}
            image = fields.pop("image", [None])[-1]
            values = {name: texts if name == "tags" else texts[-1] for name, texts in fields.items()}
            if image is None:
                return values
            if isinstance(image, str):
                raise InvalidRequest("image was sent as text: send it as a file, with curl as -F image=@FILE")
            return values | {"image": await image.read()}
    except (HTTPException, UnicodeError) as error:  # of a charset that no text has
        detail = error.detail if isinstance(error, HTTPException) else error
        raise InvalidRequest(f"the form cannot be read: {detail}") from error


def _read_json(body: bytes, given: Mapping[str, Any]) -> JsonDetectRequest:
    try:
        document = pydantic_core.from_json(body)
    except ValueError as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidRequest("the body must be a JSON object with `image` in base64")
    known = JsonDetectRequest.model_fields.keys()
    # Pydantic makes a finding of each unknown member before any is dropped, and there may be millions.
    unknown = itertools.islice((name for name in document if name not in known), MOST_FINDINGS)
    members = {name: document[name] for name in (*(known & document.keys()), *unknown)}
    return _validated(JsonDetectRequest, {**given, **members})


def _validated(kind: type[Kind], values: Mapping[str, Any]) -> Kind:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise invalid_request(error.errors()) from error


class BodyLimit:
    """ASGI middleware: bounds the body of one request, and those of all requests that are not answered yet.

    Reading one past `max_body_bytes` raises BodyTooLarge, declared length or not; reading one for which `upload_bytes`
    has no room raises Busy before its first byte. A length that is not declared counts as the largest.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int, upload_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._room = _Room(upload_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        declared = headers.get("content-length")
        length = int(declared) if declared is not None and declared.isdecimal() else None
        if length is None:
            length = self._max_body_bytes if "transfer-encoding" in headers else 0
        meter = _Meter(self._max_body_bytes, length, self._room, receive, send)
        try:
            await self._app(scope, meter.receive, meter.send)
        finally:
            meter.close()


class _Room:
    """Bytes that bodies may take together."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._taken = 0

    def take(self, size: int) -> None:
        # One body always fits, or a service with little room would never answer.
        if self._taken and self._taken + size > self._total:
            raise Busy("the bodies of other requests take all the room there is: send this one again", retry_after_s=1)
        self._taken += size

    def give(self, size: int) -> None:
        self._taken -= size


class _Meter:
    """Counts the body of one request as it arrives."""

    def __init__(self, max_bytes: int, length: int, room: _Room, receive: Receive, send: Send) -> None:
        self._max_bytes = max_bytes
        self._length = length
        self._room = room
        self._taken: int | None = None
        self._received = 0
        self._refused = False
        self._receive = receive
        self._send = send

    async def receive(self) -> Message:
        # Before the first byte, so that a client that asks `Expect: 100-continue` never sends the rest.
        self._check(self._length)
        if self._taken is None:
            self._take()
        message = await self._receive()
        self._received += len(message.get("body", b""))
        self._check(self._received)
        return message

    def close(self) -> None:
        """Give back the room."""
        self._room.give(self._taken or 0)

    async def send(self, message: Message) -> None:
        if not self._refused or message["type"] != "http.response.body":
            await self._send(message)
            return
        await self._send({**message, "more_body": True})
        await self._linger()
        await self._send({"type": "http.response.body"})

    def _take(self) -> None:
        try:
            self._room.take(self._length)
        except Busy:
            self._refused = True
            raise
        self._taken = self._length

    def _check(self, size: int) -> None:
        if size > self._max_bytes:
            self._refused = True
            raise BodyTooLarge(f"the body is larger than {self._max_bytes} bytes: send a smaller image")

    async def _linger(self) -> None:
        try:
            async with asyncio.timeout(LINGER_S):
                while (await self._receive()).get("more_body"):
                    pass
        except TimeoutError:
            pass
