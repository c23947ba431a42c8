"""The outermost middleware: request id, a line in the log, metrics, and a response to unexpected errors."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import InternalError, NotReady
from service.http.paths import MACHINE_PATHS
from service.http.problems import problem
from service.observability.logs import FIELDS, LOGGER_NAME, REQUEST_ID, request_id_of
from service.observability.metrics import Metrics
from service.runtime.lifecycle import Lifecycle

HEADER = "X-Request-Id"
UNMATCHED = "unmatched"

logger = logging.getLogger(LOGGER_NAME)


class RequestScope:
    """Gives each request an id, records it, and turns an unexpected exception into a problem."""

    def __init__(self, app: ASGIApp, metrics: Metrics, lifecycle: Lifecycle) -> None:
        self._app = app
        self._metrics = metrics
        self._lifecycle = lifecycle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        token = REQUEST_ID.set(request_id_of(Headers(scope=scope).get(HEADER)))
        try:
            await self._respond(scope, receive, send)
        finally:
            REQUEST_ID.reset(token)

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        started_s = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[HEADER] = REQUEST_ID.get() or ""
                if self._lifecycle.draining:
                    # A connection kept open would be closed later, perhaps while the next request is on its way.
                    headers["Connection"] = "close"
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except asyncio.CancelledError:
            # The server stops and its grace time is over: a refusal is better than a cut connection.
            if self._lifecycle.draining and not status:
                await problem(Request(scope), _cut_off())(scope, receive, send_with_id)
            raise
        except Exception:
            # Past this point a server would print the trace in its own form, and respond in plain text.
            logger.exception("internal error")
            if not status:
                await problem(Request(scope), InternalError(""))(scope, receive, send_with_id)
        finally:
            self._record(scope, status, time.perf_counter() - started_s)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", UNMATCHED)
        code = scope.get("state", {}).get("problem_code")
        self._metrics.request(route, status, code, seconds)
        fields: dict[str, Any] = {
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "code": code,
            "duration_ms": round(1000 * seconds, 3),
        }
        if key := scope.get("state", {}).get("key"):
            fields["key"] = key.name
        level = logging.DEBUG if route in MACHINE_PATHS else logging.INFO
        logger.log(level, "request", extra={FIELDS: fields})


def _cut_off() -> NotReady:
    return NotReady("the service is stopping and has no time left for this request: send it again", retry_after_s=1)
