"""Traces of requests, received by a real collector's door: OTLP over HTTP on a socket."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from models.bundle import Bundle
from service.app import create_app
from service.backends.base import Array, Tensors
from service.http.trace_scope import TraceScope
from service.observability.tracing import trace_headers
from tests.support.bundles.service_parts import TWO_BOLTS_AND_A_NUT, WatchedBackend, tiny_settings
from tests.support.bundles.tiny_bundle import encoded
from tests.support.servers.live_server import live_server

PICTURE = encoded(TWO_BOLTS_AND_A_NUT)
TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
STAGES = {"queue", "decode", "letterbox", "cam", "sam_encoder", "proposals", "wsod", "select", "masks"}


@dataclass
class Collector:
    """What was sent to `url`.

    Attributes:
        spans: all of them, with the attributes of their resource beside.
    """

    url: str = ""
    spans: list[tuple[Mapping[str, str], Span]] = field(default_factory=list)

    def receive(self, body: bytes) -> None:
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = {pair.key: pair.value.string_value for pair in of_resource.resource.attributes}
            self.spans += [(resource, span) for of_scope in of_resource.scope_spans for span in of_scope.spans]

    def named(self, name: str) -> list[Span]:
        return [span for _, span in self.spans if span.name == name]


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            assert self.path == "/v1/traces"
            found.receive(body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Not to the test's output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}"
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


class TracedBackend(WatchedBackend):
    """Notes what it would send on to another service."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self.headers: list[tuple[str, dict[str, str]]] = []

    async def infer(self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Tensors:
        self.headers.append((model, trace_headers()))
        return await super().infer(model, inputs, outputs)


def attributes(span: Span) -> dict[str, str | int]:
    return {
        pair.key: pair.value.string_value if pair.value.HasField("string_value") else pair.value.int_value
        for pair in span.attributes
    }


def test_a_request_is_a_span_with_its_stages_below_it(tiny_bundle: Bundle, collector: Collector) -> None:
    backend = TracedBackend(tiny_bundle)
    settings = tiny_settings(tiny_bundle.folder, otlp_endpoint=collector.url)
    with live_server(create_app(settings, backend)) as url, httpx.Client(base_url=url, timeout=60) as client:
        while client.get("/readyz").status_code != 200:
            pass
        backend.headers.clear()
        headers = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"}
        sent = client.post("/detect", headers=headers, files={"image": PICTURE}, data={"tags": "red-bolt"})
        assert sent.status_code == 200
        client.post("/detect", files={"image": b"no picture"})
        client.get("/no/such/page")
        client.get("/metrics")
    # The server has stopped, and so has sent everything.
    traced, own = sorted(collector.named("POST /detect"), key=lambda span: span.parent_span_id, reverse=True)
    assert {resource["service.name"] for resource, _ in collector.spans} == {"weaksam"}
    assert (traced.trace_id.hex(), traced.parent_span_id.hex()) == (TRACE_ID, PARENT_ID)
    assert attributes(traced) == {
        "http.request.method": "POST",
        "url.path": "/detect",
        "http.route": "/detect",
        "http.response.status_code": 200,
    }
    stages = [span for _, span in collector.spans if span.trace_id == traced.trace_id and span is not traced]
    below = [span for span in stages if span.parent_span_id == traced.span_id]
    assert {span.name for span in below} == STAGES
    assert all(
        traced.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano <= traced.end_time_unix_nano
        for span in below
    )
    # Another trace, for nobody told whose it is; and no pages of machines.
    assert (own.parent_span_id, own.trace_id == traced.trace_id) == (b"", False)
    assert attributes(own)["http.response.status_code"] == 415
    assert not {"GET /metrics", "GET /readyz", "GET /livez"} & {span.name for _, span in collector.spans}
    assert [attributes(span)["url.path"] for span in collector.named("GET")] == ["/no/such/page"]

    # What goes on to another service names the stage that asks it.
    ids = {span.span_id.hex(): span.name for span in below}
    passed_on = [(model, *found["traceparent"].split("-")) for model, found in backend.headers]
    assert {trace_id for _, _, trace_id, _, _ in passed_on} == {TRACE_ID}
    assert {(model, ids[span_id]) for model, _, _, span_id, _ in passed_on} == {
        ("cam", "cam"),
        ("sam_encoder", "sam_encoder"),
        ("sam_decoder", "proposals"),
        ("wsod", "wsod"),
        ("sam_decoder", "masks"),
    }


def test_a_collector_that_is_away_harms_no_request(tiny_bundle: Bundle) -> None:
    settings = tiny_settings(tiny_bundle.folder, otlp_endpoint="http://127.0.0.1:9")
    with live_server(create_app(settings)) as url, httpx.Client(base_url=url, timeout=60) as client:
        assert client.post("/detect", files={"image": PICTURE}).status_code == 200


def test_traces_are_off_by_default(tiny_bundle: Bundle) -> None:
    app = create_app(tiny_settings(tiny_bundle.folder))
    layers: list[object] = [layer.cls for layer in app.user_middleware]
    assert TraceScope not in layers
    assert trace_headers() == {}


def test_a_missing_package_is_named_with_its_extra(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "service.observability.otlp", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with pytest.raises(ValueError, match=r"pip install -e '\.\[otel\]'"):
        create_app(tiny_settings(tiny_bundle.folder, otlp_endpoint="http://127.0.0.1:4318"))
