"""Tracing: spans for the present request, recorded by the tracer in `TRACER`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Protocol


class RequestSpan(Protocol):
    """The span of one request."""

    def finished(self, route: str | None, status: int) -> None:
        """Note what is known at its end."""
        ...


class Tracer(Protocol):
    """Records spans."""

    def request(self, method: str, path: str, headers: Mapping[str, str]) -> AbstractContextManager[RequestSpan]:
        """Open the span of a request, below the client's own if `headers` name one."""
        ...

    def stage(self, name: str) -> AbstractContextManager[object]:
        """Open a span below the present one."""
        ...

    def headers(self) -> dict[str, str]:
        """Return the present span as W3C headers."""
        ...

    def shutdown(self) -> None:
        """Send what has not been sent. This waits for the collector: do not call it on the event loop."""
        ...


# Set around each traced request; its tasks and threads inherit it.
TRACER: ContextVar[Tracer | None] = ContextVar("tracer", default=None)


@contextmanager
def stage_span(name: str) -> Iterator[None]:
    """Open a span for one stage of the present request; do nothing if it is not traced."""
    tracer = TRACER.get()
    if tracer is None:
        yield
        return
    with tracer.stage(name):
        yield


def trace_headers() -> dict[str, str]:
    """Return the W3C headers of the present span, for a call to another service; empty if there is no trace."""
    tracer = TRACER.get()
    return {} if tracer is None else tracer.headers()
