"""From settings to a pipeline: opens the bundle, the backend, the cache and the metrics."""

from __future__ import annotations

from models.bundle import load_bundle
from service.backends.base import Backend
from service.backends.open_backend import open_backend
from service.inference.cache import ResultCache
from service.inference.pipeline import Limits, Pipeline
from service.observability.metrics import Metrics
from service.settings import Settings


def create_pipeline(settings: Settings, backend: Backend | None = None) -> Pipeline:
    """Open the pipeline of `settings.bundle`, on the configured backend unless one is given. Close it after use.

    Raises:
        BundleError: the bundle cannot be used.
        BackendMismatch: the backend cannot serve it.
    """
    metrics = Metrics()
    return open_pipeline(settings, metrics, ResultCache(settings.cache_bytes, metrics), backend)


def open_pipeline(settings: Settings, metrics: Metrics, cache: ResultCache, backend: Backend | None = None) -> Pipeline:
    """Open a pipeline as `create_pipeline` does, with metrics and a cache that outlive it."""
    # Resolved first: if the link turns to another bundle meanwhile, the files of two must not mix.
    bundle = load_bundle(settings.bundle.resolve())
    backend = backend or open_backend(settings, bundle, metrics)
    limits = Limits(settings.max_tags, settings.max_detections)
    return Pipeline(bundle, backend, cache, limits, metrics, zoom=settings.zoom)
