"""The labelling page at /: static files of this package, read once when the service starts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import FastAPI, Request, Response

from service.errors import NotFound

FOLDER = Path(__file__).with_name("web")
INDEX, SCRIPT = "index.html", "main.js"
MEDIA_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
# The page runs its own files and talks to this service alone. `blob:` is how it shows an image that a person dropped.
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class PageFile:
    """One file of the page. `etag` is its digest, so that browsers keep it until it changes."""

    content: bytes
    media_type: str
    etag: str


@cache
def page_files() -> dict[str, PageFile]:
    """Return the files of the page by their path in its folder."""
    paths = sorted(path for path in FOLDER.rglob("*") if path.suffix in MEDIA_TYPES)
    return {path.relative_to(FOLDER).as_posix(): _read(path) for path in paths}


def page_paths() -> frozenset[str]:
    """Return the paths of the page. They need no API key: the page itself asks for one, and nothing here is secret."""
    return frozenset({"/", *(f"/page/{name}" for name in page_files())})


def add_page(app: FastAPI, script: str = SCRIPT) -> None:
    """Serve the page at / and its files at /page. All addresses in it are relative, so any prefix of a proxy works.

    Args:
        app: takes the routes.
        script: the file that starts the page; another one gives it another source of images.
    """
    index = _with_script(page_files()[INDEX], script)

    async def show_index(request: Request) -> Response:
        return _response(request, index)

    app.add_api_route("/", show_index, methods=["GET", "HEAD"], include_in_schema=False)
    app.add_api_route("/page/{name:path}", _file, methods=["GET", "HEAD"], include_in_schema=False)


async def _file(request: Request, name: str) -> Response:
    file = page_files().get(name)
    if file is None:
        raise NotFound(f"the page has no file {name!r}")
    return _response(request, file)


def _with_script(index: PageFile, script: str) -> PageFile:
    return _page_file(index.content.replace(f"page/{SCRIPT}".encode(), f"page/{script}".encode()), index.media_type)


def _response(request: Request, file: PageFile) -> Response:
    headers = {**SECURITY_HEADERS, "ETag": file.etag, "Cache-Control": "no-cache"}
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


def _read(path: Path) -> PageFile:
    return _page_file(path.read_bytes(), f"{MEDIA_TYPES[path.suffix]}; charset=utf-8")


def _page_file(content: bytes, media_type: str) -> PageFile:
    return PageFile(content, media_type, etag=f'"{hashlib.sha256(content).hexdigest()[:32]}"')
