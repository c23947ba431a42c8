"""The trace that the present code works for, if there is one; knows nothing of who records it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Protocol

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Machines ask for these every few seconds; their traces would bury those of users.
UNTRACED_PATHS = frozenset({"/livez", "/readyz", "/metrics"})


class RequestSpan(Protocol):
    """The span of one request."""

    def answered(self, route: str | None, status: int) -> None:
        """What is known at its end."""
        ...


class Tracer(Protocol):
    """Records spans."""

    def request(self, method: str, path: str, headers: Mapping[str, str]) -> AbstractContextManager[RequestSpan]:
        """The span of a request, below the client's own where `headers` name one."""
        ...

    def stage(self, name: str) -> AbstractContextManager[object]:
        """A span below the present one."""
        ...

    def headers(self) -> dict[str, str]:
        """The present span as W3C headers."""
        ...

    def shutdown(self) -> None:
        """Send what has not been sent; waits for the collector, so not on the event loop."""
        ...


# Set around each traced request; the tasks and threads that work for it inherit it.
_TRACER: ContextVar[Tracer | None] = ContextVar("tracer", default=None)


@contextmanager
def stage_span(name: str) -> Iterator[None]:
    """A span for one stage of the request that this code works for; nothing where there is no trace."""
    tracer = _TRACER.get()
    if tracer is None:
        yield
        return
    with tracer.stage(name):
        yield


def trace_headers() -> dict[str, str]:
    """W3C `traceparent` and `tracestate` of the present span, for a call to another service; empty without a trace."""
    tracer = _TRACER.get()
    return {} if tracer is None else tracer.headers()


class TraceScope:
    """ASGI middleware: a trace around each request, except for those of machines that watch the service."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in UNTRACED_PATHS:
            await self._app(scope, receive, send)
            return
        status = 0

        async def send_and_note(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        token = _TRACER.set(self._tracer)
        try:
            with self._tracer.request(scope["method"], scope["path"], Headers(scope=scope)) as span:
                await self._app(scope, receive, send_and_note)
                span.answered(getattr(scope.get("route"), "path", None), status)
        finally:
            _TRACER.reset(token)
