"""Puts the service together: settings to bundle, backend, pipeline and HTTP. Wiring only."""

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
from service.http.body import BodyLimit
from service.http.key_guard import PROBES, KeyGuard
from service.http.openapi import complete_openapi
from service.http.problems import add_problem_handlers
from service.http.request_scope import HEADER, RequestScope
from service.http.routes import router
from service.inference.cache import ResultCache
from service.inference.open_pipeline import open_pipeline
from service.observability.logs import setup_logging
from service.observability.metrics import Metrics
from service.observability.tracing import Tracer, TraceScope
from service.runtime.active_bundle import Served
from service.runtime.lifecycle import Operations
from service.runtime.request_handler import Detector
from service.runtime.server import Server
from service.settings import Settings

API_VERSION = "1"


def create_app(settings: Settings, backend: Backend | None = None) -> FastAPI:
    """The service as an ASGI application; errors as `create_pipeline`. It closes the backend when it ends."""
    metrics = Metrics()
    cache = ResultCache(settings.cache_bytes, metrics)
    served = Served(open_pipeline(settings, metrics, cache, backend), partial(open_pipeline, settings, metrics, cache))
    operations = Operations(served, _key_ring(settings), metrics)
    tracer = _tracer(settings)
    app = FastAPI(
        title="weaksam",
        summary="Image-level tags in, labelled boxes and masks out.",
        version=API_VERSION,
        redoc_url=None,
        lifespan=partial(_lifespan, served, operations, tracer),
    )
    app.state.detector = Detector(settings, served)
    app.state.operations = operations
    _add_middleware(app, settings, operations, metrics, tracer)
    add_problem_handlers(app)
    app.include_router(router)
    app.openapi = complete_openapi(app)  # type: ignore[method-assign]
    return app


def create_server(settings: Settings) -> uvicorn.Server:
    """A server of the whole service, its logs going to stderr; call `run` on it."""
    setup_logging(settings.log_level)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        timeout_graceful_shutdown=settings.shutdown_grace_s,
        timeout_keep_alive=settings.keep_alive_s,
        log_config=None,
        access_log=False,
        server_header=False,
    )
    return Server(config, app.state.operations, settings.drain_s)


def _add_middleware(
    app: FastAPI, settings: Settings, operations: Operations, metrics: Metrics, tracer: Tracer | None
) -> None:
    """From the innermost outwards; a page of another origin must be able to read that its key is wrong."""
    app.add_middleware(BodyLimit, max_body_bytes=settings.max_body_bytes, upload_bytes=settings.upload_bytes)
    if operations.keys is not None:
        open_paths = PROBES | {"/metrics"} if settings.open_metrics else PROBES
        app.add_middleware(KeyGuard, ring=operations.keys, metrics=metrics, open_paths=open_paths)
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
    app.add_middleware(RequestScope, metrics=metrics, operations=operations)


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
        raise ValueError(
            f"WEAKSAM_OTLP_ENDPOINT is {settings.otlp_endpoint!r}, but {error.name} is not installed: "
            "pip install -e '.[otel]' in a checkout, or unset it"
        ) from error
    return OtlpTracer(settings.otlp_endpoint)


@asynccontextmanager
async def _lifespan(served: Served, operations: Operations, tracer: Tracer | None, _: FastAPI) -> AsyncIterator[None]:
    # Not awaited: /livez answers at once, /readyz when this has passed.
    warm_up = asyncio.create_task(operations.warm_up())
    try:
        yield
    finally:
        warm_up.cancel()
        await asyncio.gather(warm_up, return_exceptions=True)
        await served.aclose()
        if tracer is not None:
            await asyncio.to_thread(tracer.shutdown)
