"""Prometheus metrics of one service, on a registry of its own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from weaksam.schemas import BundleInfo, TagRow

MEDIA_TYPE = CONTENT_TYPE_LATEST
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
BUCKETS_RUN_SIZE = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
NO_CODE = "ok"


class Metrics:
    """Counters, gauges and histograms; every instance starts at zero."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "weaksam_requests", "Requests finished.", ["route", "status", "code"], registry=self.registry
        )
        self._seconds = Histogram(
            "weaksam_request_seconds", "Time of a request.", ["route"], buckets=BUCKETS_S, registry=self.registry
        )
        self._stages = Histogram(
            "weaksam_stage_seconds", "Time of one stage.", ["stage"], buckets=BUCKETS_S, registry=self.registry
        )
        self._images = Counter("weaksam_images", "Images processed.", registry=self.registry)
        self._encodes = Counter(
            "weaksam_encodes", "Runs of a network over a whole image.", ["model"], registry=self.registry
        )
        self._prompts = Counter("weaksam_prompts", "Prompts decoded, without padding.", registry=self.registry)
        self._run_sizes = Histogram(
            "weaksam_run_size",
            "Prompts or proposals in one run of a network, padding included.",
            ["model"],
            buckets=BUCKETS_RUN_SIZE,
            registry=self.registry,
        )
        self._tags = Counter(
            "weaksam_tags",
            "Tags by outcome: found, unknown, or the stage that lost them.",
            ["outcome"],
            registry=self.registry,
        )
        self._cache = Counter(
            "weaksam_cache",
            "Look-ups: hit, miss, or joined to a computation in flight.",
            ["kind", "outcome"],
            registry=self.registry,
        )
        self._cache_bytes = Gauge("weaksam_cache_bytes", "Memory of cached results.", registry=self.registry)
        self._waiting = Gauge("weaksam_queue_depth", "Requests waiting for a worker.", registry=self.registry)
        self._running = Gauge("weaksam_running", "Requests that run.", registry=self.registry)
        self._keys = Counter(
            "weaksam_key_requests",
            "Requests by API key: admitted, or limited by the key's rate.",
            ["key", "outcome"],
            registry=self.registry,
        )
        self._reloads = Counter(
            "weaksam_reloads", "Reloads: swapped, unchanged or failed.", ["outcome"], registry=self.registry
        )
        self._endpoints = Gauge(
            "weaksam_triton_serving", "1 for a Triton that serves the bundle.", ["endpoint"], registry=self.registry
        )
        self._calls_repeated = Counter(
            "weaksam_triton_calls_again", "Calls repeated on another endpoint.", registry=self.registry
        )
        self._bundle = Gauge(
            "weaksam_bundle", "1 for the bundle that is served.", ["name", "version", "digest"], registry=self.registry
        )

    def request(self, route: str, status: int, code: str | None, seconds: float) -> None:
        self._requests.labels(route, str(status), code or NO_CODE).inc()
        self._seconds.labels(route).observe(seconds)

    def stage(self, name: str, seconds: float) -> None:
        self._stages.labels(name).observe(seconds)

    def image(self) -> None:
        self._images.inc()

    def encode(self, model: str) -> None:
        self._encodes.labels(model).inc()

    def prompts(self, count: int) -> None:
        self._prompts.inc(count)

    def run_size(self, model: str, size: int) -> None:
        self._run_sizes.labels(model).observe(size)

    def tag(self, row: TagRow) -> None:
        self._tags.labels(row.stage or row.status).inc()

    def cache(self, kind: str, outcome: str) -> None:
        self._cache.labels(kind, outcome).inc()

    def cache_bytes(self, held: int) -> None:
        self._cache_bytes.set(held)

    def queue(self, waiting: int, running: int) -> None:
        self._waiting.set(waiting)
        self._running.set(running)

    def key(self, name: str, outcome: str) -> None:
        self._keys.labels(name, outcome).inc()

    def reload(self, outcome: str) -> None:
        self._reloads.labels(outcome).inc()

    def endpoint(self, url: str, *, serving: bool) -> None:
        self._endpoints.labels(url).set(serving)

    def call_repeated(self) -> None:
        self._calls_repeated.inc()

    def bundle(self, info: BundleInfo) -> None:
        self._bundle.clear()
        self._bundle.labels(info.name, info.version, info.digest).set(1)

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format, media type `MEDIA_TYPE`."""
        return generate_latest(self.registry)
