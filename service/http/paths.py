"""Paths of requests, without the prefix that a proxy puts before them."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

# Machines ask for these every few seconds: they are logged at level debug, and not traced.
MACHINE_PATHS = frozenset({"/livez", "/readyz", "/metrics"})


class RootPath:
    """Tells the layers below the path, and the prefix that a proxy serves the service under, removed by it or not."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["path"] = _origin_form(scope["path"])
            scope["root_path"] = self._root_path
            # In ASGI the path includes the prefix.
            if not scope["path"].startswith(f"{self._root_path}/"):
                scope["path"] = self._root_path + scope["path"]
        await self._app(scope, receive, send)


def _origin_form(target: str) -> str:
    """Return the path of a target that names the host too, as some proxies pass it on (RFC 9112, 3.2.2)."""
    if not target.startswith(("http://", "https://")):
        return target
    return "/" + target.partition("://")[2].partition("/")[2]


def route_path(scope: Scope) -> str:
    """Return the path of a request as the routes name it, without the prefix."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


def add_variants(router: APIRouter) -> None:
    """Let HEAD return what GET does, without a body, and let a POST path end in a slash. Call it after all routes.

    A redirect would lose the body of a POST, or send it to another scheme behind a proxy.
    """
    for route in [route for route in router.routes if isinstance(route, APIRoute)]:
        path, status = route.path.removeprefix(router.prefix), route.status_code
        if "GET" in (route.methods or ()):
            router.add_api_route(path, route.endpoint, methods=["HEAD"], status_code=status, include_in_schema=False)
        if "POST" in (route.methods or ()):
            slash = f"{path}/"
            router.add_api_route(slash, route.endpoint, methods=["POST"], status_code=status, include_in_schema=False)
