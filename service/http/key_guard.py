"""A middleware that lets in requests with a known API key; the probes need none."""

from __future__ import annotations

import math

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.auth.api_keys import ApiKey, KeyRing
from service.errors import Forbidden, RateLimited, RequestError, Unauthorized
from service.http.paths import route_path
from service.http.problems import problem
from service.observability.metrics import Metrics

PROBES = frozenset({"/livez", "/readyz"})
SCHEME = "bearer"
# X-AnyLabeling sends the key in a header of its own.
XANYLABELING = "/xanylabeling/"


class KeyGuard:
    """Lets a request pass if its key is known and within its rate. The body is not read before.

    Args:
        ring: the keys.
        open_paths: paths that need no key, matched exactly; all others are guarded, whether they exist or not.
    """

    def __init__(self, app: ASGIApp, ring: KeyRing, metrics: Metrics, open_paths: frozenset[str]) -> None:
        self._app = app
        self._ring = ring
        self._metrics = metrics
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and route_path(scope) not in self._open_paths:
            request = Request(scope)
            try:
                self._admit(request)
            except RequestError as error:
                await problem(request, error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _admit(self, request: Request) -> None:
        key = self._ring.find(_presented(request))
        if key is None:
            raise Unauthorized("the API key is not known: ask whoever runs the service for one")
        request.state.key = key
        wait_s = self._ring.take(key)
        self._metrics.key(key.name, "limited" if wait_s else "admitted")
        if wait_s:
            retry_after_s = max(1, math.ceil(wait_s))
            raise RateLimited(
                f"the key {key.name!r} has used up its rate: send the request again in {retry_after_s} s",
                retry_after_s=retry_after_s,
            )


def require_admin(request: Request) -> None:
    """Raise Forbidden unless the request has passed a `KeyGuard` with an administrator's key."""
    key: ApiKey | None = getattr(request.state, "key", None)
    if key is None:
        raise Forbidden(f"{request.url.path} is closed because this service has no API keys: set WEAKSAM_API_KEYS_FILE")
    if not key.admin:
        raise Forbidden(f"the key {key.name!r} is not an administrator's: use one made with --admin")


def _presented(request: Request) -> str:
    if request.headers.get("token") and route_path(request.scope).startswith(XANYLABELING):
        return request.headers["token"].strip()
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != SCHEME or not key:
        raise Unauthorized("there is no API key: send it as `Authorization: Bearer KEY`")
    return key.strip()
