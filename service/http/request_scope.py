"""What surrounds every request: its id, one line in the log, its metrics, and the last resort for errors."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import NotReady
from service.http.problems import internal_problem, service_problem
from service.observability.logs import FIELDS, LOGGER_NAME, REQUEST_ID, request_id_of
from service.observability.metrics import Metrics
from service.runtime.lifecycle import Operations

HEADER = "X-Request-Id"
UNMATCHED = "unmatched"
QUIET_ROUTES = frozenset({"/livez", "/readyz", "/metrics"})

logger = logging.getLogger(LOGGER_NAME)


class RequestScope:
    """ASGI middleware, the outermost."""

    def __init__(self, app: ASGIApp, metrics: Metrics, operations: Operations) -> None:
        self._app = app
        self._metrics = metrics
        self._operations = operations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        token = REQUEST_ID.set(request_id_of(Headers(scope=scope).get(HEADER)))
        try:
            await self._answer(scope, receive, send)
        finally:
            REQUEST_ID.reset(token)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        started_s = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[HEADER] = REQUEST_ID.get() or ""
                if self._operations.draining:
                    # A kept connection would be closed later, maybe while the next request is on its way.
                    headers["Connection"] = "close"
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except asyncio.CancelledError:
            # The grace time of a server that stops is over. Better a refusal than a cut connection.
            if self._operations.draining and not status:
                await service_problem(Request(scope), _cut_off())(scope, receive, send_with_id)
            raise
        except Exception:
            # Past this point a server would print the trace in its own form, and answer in plain text.
            logger.exception("internal error")
            if not status:
                await internal_problem(Request(scope))(scope, receive, send_with_id)
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
        level = logging.DEBUG if route in QUIET_ROUTES else logging.INFO
        logger.log(level, "request", extra={FIELDS: fields})


def _cut_off() -> NotReady:
    return NotReady("the service is stopping and has no time left for this request: send it again", retry_after_s=1)
