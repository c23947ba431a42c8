"""The reference at /docs: Swagger UI, whose files come from an installed package and not from the internet."""

from __future__ import annotations

from fastapi import FastAPI, Response
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.staticfiles import StaticFiles

FILES = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")
# A browser cannot send a key before it has the page on which to type one; nothing here is secret.
DOCS_PATHS = frozenset({"/docs", "/openapi.json", *(f"/docs/{name}" for name in FILES)})


def add_docs_page(app: FastAPI) -> None:
    """Serve Swagger UI and its files at /docs. All addresses in it are relative, so any prefix of a proxy works."""
    app.add_api_route("/docs", _page, methods=["GET", "HEAD"], include_in_schema=False)
    app.mount("/docs", StaticFiles(packages=[("fastapi_offline", "static")]))


async def _page() -> Response:
    script, style, icon = (f"docs/{name}" for name in FILES)
    return get_swagger_ui_html(
        openapi_url="openapi.json",
        title="weaksam",
        swagger_js_url=script,
        swagger_css_url=style,
        swagger_favicon_url=icon,
    )
