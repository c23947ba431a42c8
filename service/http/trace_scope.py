"""A middleware that traces requests."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.paths import MACHINE_PATHS, route_path
from service.observability.tracing import TRACER, Tracer


class TraceScope:
    """Opens a trace around each request, except for those of probes and scrapers."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or route_path(scope) in MACHINE_PATHS:
            await self._app(scope, receive, send)
            return
        status = 0

        async def send_and_note(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        token = TRACER.set(self._tracer)
        try:
            with self._tracer.request(scope["method"], scope["path"], Headers(scope=scope)) as span:
                await self._app(scope, receive, send_and_note)
                span.finished(getattr(scope.get("route"), "path", None), status)
        finally:
            TRACER.reset(token)
