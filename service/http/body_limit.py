"""A middleware that bounds request bodies in bytes: each one, and all of them together."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BodyTooLarge, Busy


class BodyLimit:
    """Bounds each body by `max_body_bytes`, and those of all unfinished requests together by `upload_bytes`.

    Reading a body past the first bound raises BodyTooLarge, whether its length was declared or not. If the second
    bound leaves no memory, reading raises Busy before the first byte. An undeclared length counts as the largest.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int, upload_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._budget = _Budget(upload_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        declared = headers.get("content-length")
        length = int(declared) if declared is not None and declared.isdecimal() else None
        if length is None:
            length = self._max_body_bytes if "transfer-encoding" in headers else 0
        meter = _Meter(self._max_body_bytes, length, self._budget, receive)
        try:
            await self._app(scope, meter.receive, send)
        finally:
            meter.close()


class _Budget:
    """Bytes that all bodies may take together."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._taken = 0

    def take(self, size: int) -> None:
        # A single body always fits, or a service with a small budget would refuse everything.
        if self._taken and self._taken + size > self._total:
            raise Busy("the bodies of other requests fill WEAKSAM_UPLOAD_BYTES: send this one again", retry_after_s=1)
        self._taken += size

    def give(self, size: int) -> None:
        self._taken -= size


class _Meter:
    """Counts the bytes of one request as they arrive."""

    def __init__(self, max_bytes: int, length: int, budget: _Budget, receive: Receive) -> None:
        self._max_bytes = max_bytes
        self._length = length
        self._budget = budget
        self._taken: int | None = None
        self._received = 0
        self._receive = receive

    async def receive(self) -> Message:
        # Before the first byte: a client that sends `Expect: 100-continue` then never sends the rest.
        self._check(self._length)
        if self._taken is None:
            self._budget.take(self._length)
            self._taken = self._length
        message = await self._receive()
        self._received += len(message.get("body", b""))
        self._check(self._received)
        return message

    def close(self) -> None:
        """Return the bytes to the budget."""
        self._budget.give(self._taken or 0)

    def _check(self, size: int) -> None:
        if size > self._max_bytes:
            raise BodyTooLarge(f"the body is larger than the limit of {self._max_bytes} bytes: send a smaller image")
