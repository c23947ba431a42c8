"""Paths of requests, without the prefix that a proxy puts before them."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

# Machines ask for these every few seconds: they are logged at level debug, and not traced.
MACHINE_PATHS = frozenset({"/livez", "/readyz", "/metrics"})


class RootPath:
    """Tells the layers below which prefix a proxy serves the service under. The proxy may remove it or leave it."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["root_path"] = self._root_path
            # In ASGI the path includes the prefix.
            if not scope["path"].startswith(f"{self._root_path}/"):
                scope["path"] = self._root_path + scope["path"]
        await self._app(scope, receive, send)


def route_path(scope: Scope) -> str:
    """Return the path of a request as the routes name it, without the prefix."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))
