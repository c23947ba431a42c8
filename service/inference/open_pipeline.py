"""From settings to a pipeline: opens the bundle, the backend, the cache and the metrics."""

from __future__ import annotations

from models.bundle import Bundle
from models.bundle_files.manifest import load_bundle
from service.backends.base import Backend
from service.backends.open_backend import open_backend
from service.inference.cache import ResultCache
from service.inference.pipeline import Pipeline, RequestLimits
from service.observability.metrics import Metrics
from service.settings import Settings


def create_pipeline(settings: Settings, backend: Backend | None = None) -> Pipeline:
    """Open the pipeline of `settings.bundle`, on the configured backend unless one is given. Close it after use.

    Raises:
        BundleError: the bundle cannot be used.
        BackendMismatch: the backend cannot serve it.
    """
    metrics = Metrics()
    cache = ResultCache(settings.cache_bytes, metrics)
    return open_pipeline(settings, metrics, cache, configured_bundle(settings), backend)


def configured_bundle(settings: Settings) -> Bundle:
    """Read `settings.bundle` as it is now; raise BundleError if it cannot be used."""
    # Resolved first: if the link turns to another bundle meanwhile, the files of two must not mix.
    return load_bundle(settings.bundle.resolve())


def open_pipeline(
    settings: Settings, metrics: Metrics, cache: ResultCache, bundle: Bundle, backend: Backend | None = None
) -> Pipeline:
    """Open a pipeline as `create_pipeline` does, of a bundle that was read, with metrics and a cache that outlive it.

    Raises:
        BackendMismatch: the backend cannot serve the bundle.
    """
    backend = backend or open_backend(settings, bundle, metrics)
    limits = RequestLimits(settings.max_tags, settings.max_detections)
    return Pipeline(bundle, backend, cache, limits, metrics, zoom=settings.zoom)
