"""OpenTelemetry as the tracer of `service.observability.tracing`. Needs the extra `otel`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

SERVICE_NAME = "weaksam"
TRACES_PATH = "/v1/traces"

_w3c = TraceContextTextMapPropagator()


class OtlpTracer:
    """Sends spans to a collector by OTLP over HTTP, in batches from a thread of its own.

    Args:
        endpoint: of the collector, `http://host:4318`. The standard OTEL_* variables set sampling and resource
            attributes.
    """

    def __init__(self, endpoint: str) -> None:
        self._provider = TracerProvider(resource=Resource.create({"service.name": SERVICE_NAME}))
        exporter = OTLPSpanExporter(endpoint=endpoint.rstrip("/") + TRACES_PATH)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(SERVICE_NAME)

    @contextmanager
    def request(self, method: str, path: str, headers: Mapping[str, str]) -> Iterator[_OtlpRequestSpan]:
        parent = _w3c.extract(dict(headers))
        attributes = {"http.request.method": method, "url.path": path}
        with self._tracer.start_as_current_span(method, parent, SpanKind.SERVER, attributes) as span:
            yield _OtlpRequestSpan(span, method)

    def stage(self, name: str) -> AbstractContextManager[Span]:
        return self._tracer.start_as_current_span(name)

    def headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        _w3c.inject(headers)
        return headers

    def shutdown(self) -> None:
        self._provider.shutdown()


class _OtlpRequestSpan:
    def __init__(self, span: Span, method: str) -> None:
        self._span = span
        self._method = method

    def finished(self, route: str | None, status: int) -> None:
        self._span.set_attribute("http.response.status_code", status)
        if status >= 500:
            self._span.set_status(StatusCode.ERROR)
        # Not the path as it was sent: that would make as many names as there are paths.
        if route is not None:
            self._span.update_name(f"{self._method} {route}")
            self._span.set_attribute("http.route", route)
