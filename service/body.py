"""The three ways to send a request, read into one form, and the bound on their size."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, TypeVar

import pydantic_core
from pydantic import ValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BodyTooLarge, ClientGone, InvalidRequest, UnsupportedMediaType
from service.schemas import DetectParameters, DetectRequest, JsonDetectRequest
from service.validation import invalid_request

AnyRequest = DetectRequest | JsonDetectRequest
Kind = TypeVar("Kind", DetectRequest, JsonDetectRequest)

# After refusing a body its rest is read and thrown away for so long: closing a socket with unread bytes in it resets
# the connection, and the client would lose the answer.
LINGER_S = 2.0


async def read_request(request: Request, query: DetectParameters) -> AnyRequest:
    """The request in whichever way it was sent; what the body says goes before what the query says.

    Raises:
        UnsupportedMediaType, InvalidRequest, BodyTooLarge: what was sent is wrong.
        ClientGone: the connection was closed in the middle.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    given = query.model_dump(exclude_unset=True)
    try:
        if media_type == "multipart/form-data":
            return _validated(DetectRequest, given | await _read_form(request))
        if media_type == "application/json":
            return await asyncio.to_thread(_read_json, await request.body(), given)
        if media_type.startswith("image/") or media_type == "application/octet-stream":
            return _validated(DetectRequest, given | {"image": await request.body()})
    except ClientDisconnect as error:
        raise ClientGone("the client closed the connection while it was sending the body") from error
    raise UnsupportedMediaType(
        f"Content-Type is {media_type!r}: send multipart/form-data with a file `image`, the file itself as image/*, "
        "or application/json with `image` in base64"
    )


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
    except HTTPException as error:
        raise InvalidRequest(f"the form cannot be read: {error.detail}") from error


def _read_json(body: bytes, given: Mapping[str, Any]) -> JsonDetectRequest:
    try:
        document = pydantic_core.from_json(body)
    except ValueError as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidRequest("the body must be a JSON object with `image` in base64")
    return _validated(JsonDetectRequest, {**given, **document})


def _validated(kind: type[Kind], values: Mapping[str, Any]) -> Kind:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise invalid_request(error.errors()) from error


class BodyLimit:
    """ASGI middleware: reading a body past `max_body_bytes` raises BodyTooLarge, declared length or not."""

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        meter = _Meter(self._max_body_bytes, Headers(scope=scope).get("content-length"), receive, send)
        await self._app(scope, meter.receive, meter.send)


class _Meter:
    """Counts the body of one request as it arrives."""

    def __init__(self, max_bytes: int, declared: str | None, receive: Receive, send: Send) -> None:
        self._max_bytes = max_bytes
        self._declared = int(declared) if declared is not None and declared.isdecimal() else 0
        self._received = 0
        self._refused = False
        self._receive = receive
        self._send = send

    async def receive(self) -> Message:
        # Before the first byte, so that a client that asks `Expect: 100-continue` never sends the rest.
        self._check(self._declared)
        message = await self._receive()
        self._received += len(message.get("body", b""))
        self._check(self._received)
        return message

    async def send(self, message: Message) -> None:
        if not self._refused or message["type"] != "http.response.body":
            await self._send(message)
            return
        await self._send({**message, "more_body": True})
        await self._linger()
        await self._send({"type": "http.response.body"})

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
