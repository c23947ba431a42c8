"""A middleware that lets in requests with a known API key; the probes need none."""

from __future__ import annotations

import base64
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
# Label Studio sends it as the password of Basic authentication; the user's name does not matter.
LABEL_STUDIO = "/labelstudio/"
BASIC_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="weaksam", Basic realm="weaksam"'}


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
                challenge = BASIC_CHALLENGE if isinstance(error, Unauthorized) and _takes_basic(request) else None
                await problem(request, error, challenge)(scope, receive, send)
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
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic" and _takes_basic(request):
        return _password(value)
    if scheme.lower() != SCHEME or not value:
        raise Unauthorized("there is no API key: send it as `Authorization: Bearer KEY`")
    return value.strip()


def _takes_basic(request: Request) -> bool:
    return route_path(request.scope).startswith(LABEL_STUDIO)


def _password(credentials: str) -> str:
    try:
        _, _, password = base64.b64decode(credentials).decode().partition(":")
    except ValueError as error:
        raise Unauthorized("the login is not base64: send USER:KEY in base64") from error
    return password
