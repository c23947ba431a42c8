"""Assembly of the service: settings to bundle, backend, pipeline and HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import uvicorn
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from service.auth.api_keys import KeyRing
from service.auth.token_bucket import RateLimit
from service.backends.base import Backend
from service.http.body_limit import BodyLimit
from service.http.docs_page import DOCS_PATHS, add_docs_page
from service.http.integrations.cvat import routes as cvat
from service.http.integrations.label_studio.routes import WEBHOOK, add_label_studio
from service.http.integrations.xanylabeling import routes as xanylabeling
from service.http.key_guard import PROBES, KeyGuard
from service.http.openapi import complete_openapi
from service.http.page import add_page, page_paths
from service.http.paths import RootPath
from service.http.problems import add_problem_handlers
from service.http.request_scope import HEADER, RequestScope
from service.http.routes import router
from service.http.trace_scope import TraceScope
from service.http.unread_body import UnreadBody
from service.inference.cache import ResultCache
from service.inference.open_pipeline import configured_bundle, open_pipeline
from service.observability.logs import setup_logging
from service.observability.metrics import Metrics
from service.observability.tracing import Tracer
from service.runtime.active_bundle import ActiveBundle
from service.runtime.lifecycle import Lifecycle
from service.runtime.request_handler import RequestHandler
from service.runtime.server import Server
from service.settings import Settings
from weaksam.errors import UserError

API_VERSION = "1"


def create_app(settings: Settings, backend: Backend | None = None) -> FastAPI:
    """Return the service as an ASGI application. It closes the backend when it ends.

    Raises:
        UserError: the file of keys or the address for traces cannot be used.
        BundleError, BackendMismatch: as `create_pipeline` does.
    """
    metrics = Metrics()
    # Before the backend is opened: what is wrong with these would leave it open.
    keys, tracer = _key_ring(settings), _tracer(settings)
    cache = ResultCache(settings.cache_bytes, metrics)
    read, open_ = partial(configured_bundle, settings), partial(open_pipeline, settings, metrics, cache)
    active = ActiveBundle(open_(read(), backend), read, open_)
    lifecycle = Lifecycle(active, keys, metrics)
    app = FastAPI(
        title="weaksam",
        summary="Image-level tags in, labelled boxes and masks out.",
        version=API_VERSION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=partial(_lifespan, active, lifecycle, tracer),
    )
    app.state.handler = RequestHandler(settings, active)
    app.state.lifecycle = lifecycle
    _add_middleware(app, settings, lifecycle, metrics, tracer)
    add_problem_handlers(app)
    app.include_router(router)
    app.include_router(xanylabeling.router)
    app.include_router(cvat.router)
    add_label_studio(app, settings, app.state.handler)
    add_docs_page(app)
    if settings.page:
        add_page(app)
    app.openapi = complete_openapi(app, _open_paths(settings) if lifecycle.keys else None)  # type: ignore[method-assign]
    return app


def create_server(settings: Settings) -> uvicorn.Server:
    """Return a server of the whole service that logs to stderr; call `run` on it."""
    setup_logging(settings.log_level)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        timeout_graceful_shutdown=settings.shutdown_grace_s,
        timeout_keep_alive=settings.keep_alive_s,
        log_config=None,
        # The other one, httptools, drops the body of a client that offers HTTP/2, and takes headers of any size.
        http="h11",
        access_log=False,
        server_header=False,
    )
    return Server(config, app.state.lifecycle, settings.drain_s)


def _add_middleware(
    app: FastAPI, settings: Settings, lifecycle: Lifecycle, metrics: Metrics, tracer: Tracer | None
) -> None:
    """Add the layers from the innermost outwards. CORS lies outside the keys, so that a web page can read a refusal."""
    app.add_middleware(BodyLimit, max_body_bytes=settings.max_body_bytes, upload_bytes=settings.upload_bytes)
    if lifecycle.keys is not None:
        app.add_middleware(KeyGuard, ring=lifecycle.keys, metrics=metrics, open_paths=_open_paths(settings))
    if settings.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", HEADER, "traceparent", "tracestate"],
            expose_headers=[HEADER, "Retry-After"],
        )
    if tracer is not None:
        app.add_middleware(TraceScope, tracer=tracer)
    app.add_middleware(RequestScope, metrics=metrics, lifecycle=lifecycle)
    # Outside the log and the metrics: waiting for the rest of a body is no part of the response's time.
    app.add_middleware(UnreadBody)
    app.add_middleware(RootPath, root_path=settings.root_path)


def _open_paths(settings: Settings) -> frozenset[str]:
    """Return the paths that need no API key."""
    of_page = page_paths() if settings.page else frozenset()
    return PROBES | DOCS_PATHS | {WEBHOOK} | of_page | ({"/metrics"} if settings.open_metrics else set())


def _key_ring(settings: Settings) -> KeyRing | None:
    if settings.api_keys_file is None:
        return None
    rate_per_s = settings.api_key_rate_per_s
    return KeyRing(settings.api_keys_file, RateLimit(rate_per_s, settings.api_key_burst) if rate_per_s else None)


def _tracer(settings: Settings) -> Tracer | None:
    if settings.otlp_endpoint is None:
        return None
    try:
        from service.observability.otlp import OtlpTracer  # noqa: PLC0415 - the base install does not have what it needs
    except ModuleNotFoundError as error:
        raise UserError(
            f"WEAKSAM_OTLP_ENDPOINT is {settings.otlp_endpoint!r}, but {error.name} is not installed: "
            "pip install -e '.[otel]' in a checkout, or unset it"
        ) from error
    return OtlpTracer(settings.otlp_endpoint)


@asynccontextmanager
async def _lifespan(
    active: ActiveBundle, lifecycle: Lifecycle, tracer: Tracer | None, _: FastAPI
) -> AsyncIterator[None]:
    # Not awaited: /livez responds at once, /readyz after the warm-up has passed.
    warm_up = asyncio.create_task(lifecycle.warm_up())
    try:
        yield
    finally:
        warm_up.cancel()
        await asyncio.gather(warm_up, return_exceptions=True)
        await active.aclose()
        if tracer is not None:
            await asyncio.to_thread(tracer.shutdown)
