"""Puts the service together: settings to bundle, backend, pipeline and HTTP. Wiring only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import uvicorn
from fastapi import FastAPI

from models.bundle import load_bundle
from service.backends.base import Backend
from service.backends.ort import OrtBackend
from service.body import BodyLimit
from service.cache import ResultCache
from service.detector import Detector
from service.logs import setup_logging
from service.metrics import Metrics
from service.openapi import complete_openapi
from service.pipeline import Limits, Pipeline
from service.problems import add_problem_handlers
from service.request_scope import RequestScope
from service.routes import router
from service.settings import Settings

# `cam` and `sam_encoder` of one request run at the same time.
RUNS_PER_REQUEST = 2


def create_pipeline(settings: Settings, backend: Backend | None = None) -> Pipeline:
    """The pipeline of `settings.bundle`, on onnxruntime unless a backend is given; close its `backend` after use.

    Raises:
        BundleError: the bundle cannot be used.
        BackendMismatch: the backend cannot serve it.
    """
    bundle, metrics = load_bundle(settings.bundle), Metrics()
    backend = backend or OrtBackend(
        bundle,
        device=settings.device,
        intra_op_threads=settings.intra_op_threads,
        concurrent_runs=RUNS_PER_REQUEST * settings.workers,
    )
    limits = Limits(settings.max_tags, settings.max_detections)
    return Pipeline(bundle, backend, ResultCache(settings.cache_bytes, metrics), limits, metrics)


def create_app(settings: Settings, backend: Backend | None = None) -> FastAPI:
    """The service as an ASGI application; errors as `create_pipeline`. It closes the backend when it ends."""
    pipeline = create_pipeline(settings, backend)
    detector = Detector(settings, pipeline)
    app = FastAPI(
        title="weaksam",
        summary="Image-level tags in, labelled boxes and masks out.",
        version=pipeline.info.version,
        redoc_url=None,
        lifespan=partial(_lifespan, detector),
    )
    app.state.detector = detector
    app.add_middleware(BodyLimit, max_body_bytes=settings.max_body_bytes)
    app.add_middleware(RequestScope, metrics=pipeline.metrics)
    add_problem_handlers(app)
    app.include_router(router)
    app.openapi = complete_openapi(app)  # type: ignore[method-assign]
    return app


def create_server(settings: Settings) -> uvicorn.Server:
    """A server of the whole service, its logs going to stderr; call `run` on it."""
    setup_logging(settings.log_level)
    config = uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        timeout_graceful_shutdown=settings.shutdown_grace_s,
        log_config=None,
        access_log=False,
        server_header=False,
    )
    return uvicorn.Server(config)


@asynccontextmanager
async def _lifespan(detector: Detector, _: FastAPI) -> AsyncIterator[None]:
    # Not awaited: /livez answers at once, /readyz when this has passed.
    warm_up = asyncio.create_task(detector.warm_up())
    try:
        yield
    finally:
        warm_up.cancel()
        await asyncio.gather(warm_up, return_exceptions=True)
        await detector.pipeline.backend.aclose()
