"""The effect of every setting: one that does nothing fails here."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import onnxruntime
import pytest

from models.bundle import Bundle
from service.app import create_app, create_server
from service.auth.api_keys import ApiKey, KeyFile, key_sha256, new_key, write_key_file
from service.backends.ort import PROVIDERS
from service.backends.triton.backend import TritonBackend
from service.errors import BackendMismatch
from service.http.trace_scope import TraceScope
from service.inference.open_pipeline import create_pipeline
from service.inference.pipeline import Pipeline
from service.runtime.server import Server
from service.settings import Settings, load_settings
from tests.support import pictures
from tests.support.image_host import ImageHost
from tests.support.live_server import live_server
from tests.support.service_parts import (
    PATIENCE_S,
    RED,
    TWO_BOLTS_AND_A_NUT,
    WatchedBackend,
    decoded,
    metric,
    tiny_pipeline,
    tiny_settings,
    until,
)
from tests.support.tiny_bundle import encoded, picture
from weaksam.segment_schemas import SegmentParameters

Check = Callable[[Bundle, pytest.MonkeyPatch], Coroutine[None, None, None]]
PICTURE = encoded(TWO_BOLTS_AND_A_NUT)
PATH = "/data/upload/image.png"


@asynccontextmanager
async def client_of(
    bundle: Bundle, backend: WatchedBackend | None = None, **changes: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, Pipeline]]:
    """A client inside the same event loop, so that a test can hold requests where it wants them."""
    app = create_app(tiny_settings(bundle.folder, **changes), backend)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://t") as client:
        yield client, app.state.handler.pipeline


async def post(client: httpx.AsyncClient, tags: str = "red-bolt") -> httpx.Response:
    return await client.post("/detect", params={"tags": tags}, content=PICTURE, headers={"content-type": "image/png"})


async def _statuses(bundle: Bundle, requests: int = 1, tags: str = "red-bolt", **changes: Any) -> list[int]:
    """What so many requests are answered with when all come at once and the graphs wait until the rest is settled."""
    backend = WatchedBackend(bundle)
    async with client_of(bundle, backend, **changes) as (client, pipeline):
        backend.shut()
        tasks = [asyncio.create_task(post(client, tags)) for _ in range(requests)]
        await until(lambda: sum(task.done() for task in tasks) + _taken(pipeline) == requests)
        backend.release()
        return sorted(answer.status_code for answer in await asyncio.gather(*tasks))


def _taken(pipeline: Pipeline) -> float:
    """Requests that hold a worker or a place in the queue."""
    return metric(pipeline, "weaksam_running") + metric(pipeline, "weaksam_queue_depth")


async def check_workers(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    assert await _statuses(bundle, 4, workers=1, queue_size=1) == [200, 200, 503, 503]
    assert await _statuses(bundle, 4, workers=2, queue_size=1) == [200, 200, 200, 503]


async def check_queue_size(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    assert await _statuses(bundle, 4, workers=1, queue_size=0) == [200, 503, 503, 503]
    assert await _statuses(bundle, 4, workers=1, queue_size=2) == [200, 200, 200, 503]


async def check_deadline_s(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    backend = WatchedBackend(bundle)
    async with client_of(bundle, backend, deadline_s=0.05) as (client, _pipeline):
        backend.shut()
        assert (await post(client)).status_code == 504
        backend.release()
    assert await _statuses(bundle, deadline_s=PATIENCE_S) == [200]


async def check_upload_s(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    async def slow_body() -> AsyncIterator[bytes]:
        yield PICTURE[:100]
        await asyncio.sleep(0.2)
        yield PICTURE[100:]

    statuses = []
    for upload_s in (0.05, PATIENCE_S):
        async with client_of(bundle, WatchedBackend(bundle), upload_s=upload_s) as (client, _pipeline):
            answer = await client.post("/detect", content=slow_body(), headers={"content-type": "image/png"})
            statuses.append(answer.status_code)
    assert statuses == [408, 200]


async def check_upload_bytes(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    for upload_bytes, statuses in ((len(PICTURE), [200, 503]), (2 * len(PICTURE), [200, 200])):
        assert await _statuses(bundle, 2, workers=2, upload_bytes=upload_bytes) == statuses


async def check_keep_alive_s(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    for keep_alive_s in (3, 90):
        server = create_server(tiny_settings(bundle.folder, keep_alive_s=keep_alive_s))
        assert server.config.timeout_keep_alive == keep_alive_s


async def check_max_body_bytes(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    assert await _statuses(bundle, max_body_bytes=len(PICTURE) - 1) == [413]
    assert await _statuses(bundle, max_body_bytes=len(PICTURE)) == [200]


async def check_max_pixels(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    assert await _statuses(bundle, max_pixels=64 * 64 - 1) == [413]
    assert await _statuses(bundle, max_pixels=64 * 64) == [200]


async def check_max_declared_pixels(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    large = pictures.saved(pictures.patch(200, 100), "JPEG")
    for max_declared_pixels, status in ((200 * 100 - 1, 413), (200 * 100, 200)):
        changes: dict[str, Any] = {"max_pixels": 6000, "max_declared_pixels": max_declared_pixels}
        async with client_of(bundle, **changes) as (client, _pipeline):
            response = await client.post("/detect", files={"image": large})
            assert response.status_code == status, response.text


async def check_max_tags(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    assert await _statuses(bundle, tags="red-bolt,green-nut", max_tags=1) == [422]
    assert await _statuses(bundle, tags="red-bolt,green-nut", max_tags=2) == [200]


async def check_max_detections(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    for most in (1, 2):
        async with client_of(bundle, max_detections=most) as (client, _pipeline):
            assert len((await post(client)).json()["detections"]) == most


async def check_zoom(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    small_bolt = decoded(picture(((128, 128, 160, 160), RED), size_hw=(512, 512)))
    for zoom, encodes in ((False, 1), (True, 2)):
        pipeline = tiny_pipeline(bundle.folder, zoom=zoom)
        await pipeline.segment(small_bolt, SegmentParameters(points=((144, 144, 1),)))
        assert metric(pipeline, "weaksam_encodes_total", model="sam_encoder") == encodes
        await pipeline.backend.aclose()


async def check_cache_bytes(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    for cache_bytes, encodes in ((0, 2), (2**20, 1)):
        pipeline = tiny_pipeline(bundle.folder, cache_bytes=cache_bytes)
        for _request in range(2):
            await pipeline.detect(decoded(TWO_BOLTS_AND_A_NUT))
        assert metric(pipeline, "weaksam_encodes_total", model="sam_encoder") == encodes
        await pipeline.backend.aclose()


async def check_intra_op_threads(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = onnxruntime.InferenceSession

    def record(path: Path, options: Any, **more: Any) -> Any:
        seen.append(options.intra_op_num_threads)
        return real(path, options, **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", record)
    await tiny_pipeline(bundle.folder, intra_op_threads=3).backend.aclose()
    assert set(seen) == {3}


async def check_device(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    if PROVIDERS["cuda"] in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(BackendMismatch, match="CUDAExecutionProvider"):
        tiny_pipeline(bundle.folder, device="cuda")


async def check_backend_and_urls(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="WEAKSAM_TRITON_URLS is '': backend is triton: name at least"):
        tiny_settings(bundle.folder, backend="triton")
    with pytest.raises(ValueError, match="'http://triton:8001' is no address: write each as host:port"):
        tiny_settings(bundle.folder, backend="triton", triton_urls="http://triton:8001")
    backend = triton_backend(bundle)
    assert (backend.kind, backend._urls) == ("triton", ("127.0.0.1:1", "127.0.0.1:2"))
    assert not await backend.ready(), "nothing listens there"
    await backend.aclose()
    assert tiny_pipeline(bundle.folder).backend.kind == "onnxruntime"


async def check_triton_probe_s(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    assert triton_backend(bundle, triton_probe_s=0.25)._probe_s == 0.25


async def check_triton_breaker(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    assert triton_backend(bundle, triton_breaker_after=3, triton_breaker_open_s=0.5)._breaker == (3, 0.5)


async def check_triton_memory_bytes(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    assert triton_backend(bundle)._memory is None
    backend = triton_backend(bundle, triton_memory_bytes=4096)
    assert backend._memory is not None
    name = backend._memory.name
    assert os.stat(f"/dev/shm/{name}").st_size == 4096  # noqa: PTH116
    await backend.aclose()
    assert name not in os.listdir("/dev/shm")  # noqa: PTH208


def triton_backend(bundle: Bundle, **changes: Any) -> TritonBackend:
    settings = {"backend": "triton", "triton_urls": "127.0.0.1:1, 127.0.0.1:2", **changes}
    backend = create_pipeline(tiny_settings(bundle.folder, **settings)).backend
    assert isinstance(backend, TritonBackend)
    return backend


async def check_bundle(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    async with client_of(bundle) as (client, _pipeline):
        assert (await client.get("/labels")).json()["bundle"]["name"] == "tiny"
    with pytest.raises(ValueError, match=r"nowhere/bundle.json does not exist"):
        create_pipeline(load_settings(bundle=Path("nowhere")))


async def check_host_and_port(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    config = create_server(tiny_settings(bundle.folder, host="127.0.0.2", port=4711)).config
    assert (config.host, config.port) == ("127.0.0.2", 4711)


async def check_shutdown_grace_s(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    assert create_server(tiny_settings(bundle.folder, shutdown_grace_s=3)).config.timeout_graceful_shutdown == 3


async def check_root_path(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    for wrong in ("weaksam", "/weaksam/", "https://host/weaksam"):
        with pytest.raises(ValueError, match="WEAKSAM_ROOT_PATH is"):
            tiny_settings(bundle.folder, root_path=wrong)
    for root_path, status in (("", 404), ("/weaksam", 200)):
        async with client_of(bundle, root_path=root_path) as (client, _pipeline):
            assert (await client.get("/weaksam/livez")).status_code == status
            assert (await client.get("/livez")).status_code == 200


async def check_drain_s(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    server = create_server(tiny_settings(bundle.folder, drain_s=0.75))
    assert isinstance(server, Server)
    assert server._drain_s == 0.75


async def check_api_keys(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    secret = new_key()
    path = bundle.folder.parent / "keys_of_settings.json"
    write_key_file(path, KeyFile(keys=(ApiKey(name="a", sha256=key_sha256(secret)),)))
    headers = {"Authorization": f"Bearer {secret}"}
    for burst in (1, 2):
        changes: dict[str, Any] = {"api_keys_file": path, "api_key_rate_per_s": 0.001, "api_key_burst": burst}
        async with client_of(bundle, **changes) as (client, _pipeline):
            statuses = [(await client.get("/labels", headers=headers)).status_code for _ in range(3)]
            assert statuses == [200] * burst + [429] * (3 - burst)
            assert (await client.get("/labels")).status_code == 401
    async with client_of(bundle, api_keys_file=path) as (client, _pipeline):
        assert [(await client.get("/labels", headers=headers)).status_code for _ in range(30)] == [200] * 30
    for open_metrics, status in ((False, 401), (True, 200)):
        async with client_of(bundle, api_keys_file=path, open_metrics=open_metrics) as (client, _pipeline):
            assert (await client.get("/metrics")).status_code == status


async def check_cors_origins(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    for wrong in ("*", "label.example", "https://label.example/page", "https://*.example"):
        with pytest.raises(ValueError, match="is no origin: write each as https://host"):
            tiny_settings(bundle.folder, cors_origins=wrong)
    origin = "https://label.example"
    for named in ("", f"http://10.0.0.1:3000,{origin}"):
        async with client_of(bundle, cors_origins=named) as (client, _pipeline):
            answer = await client.get("/livez", headers={"Origin": origin})
            assert answer.headers.get("access-control-allow-origin") == (origin if named else None)


async def check_otlp_endpoint(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="WEAKSAM_OTLP_ENDPOINT is 'collector:4318': give the URL of a collector"):
        tiny_settings(bundle.folder, otlp_endpoint="collector:4318")
    for endpoint in (None, "http://127.0.0.1:9"):
        app = create_app(tiny_settings(bundle.folder, otlp_endpoint=endpoint))
        layers: list[object] = [layer.cls for layer in app.user_middleware]
        assert (TraceScope in layers) == (endpoint is not None)


async def check_page(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    for page, status in ((True, 200), (False, 404)):
        async with client_of(bundle, page=page) as (client, _pipeline):
            assert [(await client.get(path)).status_code for path in ("/", "/page/main.js")] == [status, status]


async def entry_of(bundle: Bundle, image: str, **changes: Any) -> Any:
    """What Label Studio gets for a task with that image: the code of the failure, or the number of regions."""
    config = (
        '<View><Image name="i" value="$image"/><RectangleLabels name="box" toName="i"><Label value="rivet"/>'
        "</RectangleLabels></View>"
    )
    body = {"tasks": [{"id": 1, "data": {"image": image, "tags": "rivet"}}], "label_config": config}
    async with client_of(bundle, **changes) as (client, _pipeline):
        [entry] = (await client.post("/labelstudio/predict", json=body)).json()["results"]
    _, _, code = entry["model_version"].partition(" failed: ") if entry else ("", "", "left")
    return code or len(entry["result"])


async def check_label_studio(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    for wrong in ("label.example", "ftp://label.example", "https://me:secret@label.example", "https://label.example?x"):
        with pytest.raises(ValueError, match="give the address of Label Studio"):
            tiny_settings(bundle.folder, label_studio_url=wrong)
    with pytest.raises(ValueError, match="there is no such file"):
        tiny_settings(bundle.folder, label_studio_token_file=Path("nowhere"))
    token_path = bundle.folder.parent / "token_of_settings"
    token_path.write_text("abc")
    with live_server(ImageHost(PICTURE, "Token abc").app()) as url:
        assert await entry_of(bundle, PATH) == "image_url_refused"
        assert await entry_of(bundle, PATH, label_studio_url=f"{url}/") == "image_unreachable"
        assert await entry_of(bundle, PATH, label_studio_url=url, label_studio_token_file=token_path) == 2
        assert await entry_of(bundle, PATH, label_studio_url=url, label_studio_predict_s=1e-9) == "left"


async def check_image_hosts(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    for wrong in ("http://photos.example", "*.example", "photos.example/a"):
        with pytest.raises(ValueError, match="is no host: write each as host or host:port"):
            tiny_settings(bundle.folder, image_hosts=wrong)
    with pytest.raises(ValueError, match="'10.0.0.1/8' is no network such as"):
        tiny_settings(bundle.folder, image_networks="10.0.0.1/8")
    with live_server(ImageHost(PICTURE).app()) as url:
        image = url.replace("127.0.0.1", "LOCALHOST") + PATH
        networks = "127.0.0.0/8, ::1/128"
        assert await entry_of(bundle, image) == "image_url_refused"
        assert await entry_of(bundle, image, image_hosts="photos.example, localhost") == "image_url_refused"
        assert await entry_of(bundle, image, image_networks=networks) == "image_url_refused"
        assert await entry_of(bundle, image, image_hosts="Localhost", image_networks=networks) == 2


async def check_image_fetch_s(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    with live_server(ImageHost(PICTURE).app()) as url:
        for image_fetch_s, outcome in ((0.1, "image_unreachable"), (PATIENCE_S, 2)):
            changes: dict[str, Any] = {"image_hosts": "127.0.0.1", "image_fetch_s": image_fetch_s}
            assert await entry_of(bundle, f"{url}/slow", **changes) == outcome


async def check_log_level(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    create_server(tiny_settings(bundle.folder, log_level="error"))
    assert logging.getLogger().level == logging.ERROR


CHECKS: dict[str, Check] = {
    "api_key_burst": check_api_keys,
    "api_key_rate_per_s": check_api_keys,
    "api_keys_file": check_api_keys,
    "cors_origins": check_cors_origins,
    "drain_s": check_drain_s,
    "root_path": check_root_path,
    "open_metrics": check_api_keys,
    "otlp_endpoint": check_otlp_endpoint,
    "backend": check_backend_and_urls,
    "image_fetch_s": check_image_fetch_s,
    "image_hosts": check_image_hosts,
    "image_networks": check_image_hosts,
    "label_studio_predict_s": check_label_studio,
    "label_studio_token_file": check_label_studio,
    "label_studio_url": check_label_studio,
    "triton_breaker_after": check_triton_breaker,
    "triton_breaker_open_s": check_triton_breaker,
    "triton_probe_s": check_triton_probe_s,
    "triton_memory_bytes": check_triton_memory_bytes,
    "triton_urls": check_backend_and_urls,
    "keep_alive_s": check_keep_alive_s,
    "upload_bytes": check_upload_bytes,
    "upload_s": check_upload_s,
    "bundle": check_bundle,
    "cache_bytes": check_cache_bytes,
    "deadline_s": check_deadline_s,
    "device": check_device,
    "host": check_host_and_port,
    "intra_op_threads": check_intra_op_threads,
    "log_level": check_log_level,
    "max_body_bytes": check_max_body_bytes,
    "max_detections": check_max_detections,
    "zoom": check_zoom,
    "max_pixels": check_max_pixels,
    "max_declared_pixels": check_max_declared_pixels,
    "max_tags": check_max_tags,
    "page": check_page,
    "port": check_host_and_port,
    "queue_size": check_queue_size,
    "shutdown_grace_s": check_shutdown_grace_s,
    "workers": check_workers,
}


def test_there_is_a_check_for_every_setting() -> None:
    assert set(CHECKS) == set(Settings.model_fields)


@pytest.mark.parametrize("name", list(CHECKS))
async def test_a_setting_has_the_effect_it_says(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, restored_logging: None, name: str
) -> None:
    await CHECKS[name](tiny_bundle, monkeypatch)


@pytest.fixture
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before
