"""A host of images that notes what it is sent, and misbehaves when asked to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route


@dataclass
class ImageHost:
    """What the host serves and has seen.

    Attributes:
        image: bytes at `/data/upload/image.png` and `/bucket/image.png`.
        token: the `Authorization` that the image needs; None lets everyone in.
        seen: path and `Authorization` of each request.
    """

    image: bytes
    token: str | None = None
    seen: list[tuple[str, str | None]] = field(default_factory=list)

    def app(self) -> Starlette:
        """Return the host as an application."""
        paths = {
            "/data/upload/image.png": self._image,
            "/slow": self._slow,
            "/endless": self._endless,
            "/large": self._large,
            "/to": self._redirect,
            "/text": self._text,
            # As far as Label Studio goes, a bucket of S3.
            "/bucket": self._text,
            "/bucket/image.png": self._image,
        }
        return Starlette(routes=[Route(path, respond) for path, respond in paths.items()])

    def _note(self, request: Request) -> None:
        self.seen.append((request.url.path, request.headers.get("authorization")))

    async def _image(self, request: Request) -> Response:
        self._note(request)
        known = self.token in {None, request.headers.get("authorization")}
        return Response(self.image, media_type="image/png") if known else Response("who are you?", 401)

    async def _slow(self, request: Request) -> Response:
        self._note(request)
        await asyncio.sleep(1)
        return Response(self.image)

    async def _endless(self, request: Request) -> Response:
        self._note(request)

        async def drip() -> AsyncIterator[bytes]:
            while True:
                yield b"x"
                await asyncio.sleep(0.02)

        return StreamingResponse(drip())

    async def _large(self, request: Request) -> Response:
        """Send more than is allowed, without saying how much."""
        self._note(request)

        async def pour() -> AsyncIterator[bytes]:
            while True:
                yield bytes(2**16)
                await asyncio.sleep(0)

        return StreamingResponse(pour())

    async def _redirect(self, request: Request) -> Response:
        self._note(request)
        return RedirectResponse(request.query_params["url"])

    async def _text(self, request: Request) -> Response:
        self._note(request)
        return Response("<html>log in</html>", media_type="text/html")
