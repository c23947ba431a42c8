"""The gateway in front of a real Triton: batches, deadlines, cancellation, versions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from tritonclient.grpc import InferenceServerClient

from models.bundle import Bundle
from models.bundle_files.manifest import load_bundle, write_manifest
from service.app import create_app
from service.backends.triton.backend import TritonBackend
from service.errors import BackendMismatch, DeadlineExceeded
from service.inference.open_pipeline import create_pipeline
from service.observability.metrics import Metrics
from service.runtime.admission import deadline
from tests.support.bundles.service_parts import GREEN, PATIENCE_S, RED, decoded, tiny_pipeline, tiny_settings
from tests.support.bundles.tiny_bundle import encoded, picture, write_tiny_bundle
from tests.support.servers.live_server import live_server
from tests.support.triton.fixtures import tiny_repository, until_ready
from tests.support.triton.server import TritonServer, running_triton

CLIENTS, STEPS = 16, 4
PICTURES = [
    picture(((x, y, x + 12, y + 12), RED), ((40, 44, 56, 60), GREEN))
    for x in range(2, 2 + 3 * CLIENTS, 3)
    for y in range(4, 4 + 6 * STEPS, 6)
]
SLOW_S = 3.0


def triton_settings(bundle: Bundle, *servers: TritonServer, **changes: Any) -> Any:
    urls = ",".join(server.grpc_url for server in servers)
    given = {"backend": "triton", "triton_urls": urls, "cache_bytes": 0, **changes}
    return tiny_settings(bundle.folder, **given)


def batch_sizes(server: TritonServer, model: str) -> dict[int, int]:
    """How often a model ran on batches of each size, by Triton's own statistics."""
    with InferenceServerClient(server.grpc_url) as client:
        [stats] = client.get_inference_statistics(model).model_stats
    return {int(row.batch_size): int(row.compute_infer.count) for row in stats.batch_stats}


async def test_16_clients_are_answered_in_batches(tiny_bundle: Bundle, tiny_triton: TritonServer) -> None:
    before = batch_sizes(tiny_triton, "cam")
    app = create_app(triton_settings(tiny_bundle, tiny_triton, workers=CLIENTS))
    limits = httpx.Limits(max_connections=CLIENTS)
    with live_server(app) as url:
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_S, limits=limits) as client:

            async def post(images: list[Any]) -> list[httpx.Response]:
                return [
                    await client.post("/detect", files={"image": encoded(image)}, data={"tags": "red-bolt"})
                    for image in images
                ]

            rows = await asyncio.gather(*(post(PICTURES[index::CLIENTS]) for index in range(CLIENTS)))
    embedded = tiny_pipeline(tiny_bundle.folder)
    for index, answers in enumerate(rows):
        for image, answer in zip(PICTURES[index::CLIENTS], answers, strict=True):
            assert answer.status_code == 200, answer.text
            expected = await embedded.detect(decoded(image), ["red-bolt"])
            boxes = [tuple(row["box_xyxy"]) for row in answer.json()["detections"]]
            assert boxes == [row.box_xyxy for row in expected.detections]
    await embedded.backend.aclose()
    sizes = batch_sizes(tiny_triton, "cam")
    ran = {size: runs - before.get(size, 0) for size, runs in sizes.items()}
    assert sum(size * runs for size, runs in ran.items()) == 1 + len(PICTURES), "the warm-up and every picture, once"
    assert sum(runs for size, runs in ran.items() if size > 1) > 0, ran


@pytest.mark.parametrize("shared_memory_bytes", [0, 2**20], ids=["wire", "shared memory"])
async def test_detections_are_those_of_the_embedded_backend(
    tiny_bundle: Bundle, tiny_triton: TritonServer, shared_memory_bytes: int
) -> None:
    settings = triton_settings(tiny_bundle, tiny_triton, triton_memory_bytes=shared_memory_bytes)
    pipeline, embedded = create_pipeline(settings), tiny_pipeline(tiny_bundle.folder)
    for image in PICTURES[::STEPS]:
        found, expected = [await each.detect(decoded(image)) for each in (pipeline, embedded)]
        assert found.detections == expected.detections
        assert found.tags == expected.tags
    await pipeline.backend.aclose()
    await embedded.backend.aclose()


def test_another_bundle_stops_the_service_at_its_start(tiny_triton: TritonServer, tmp_path: Path) -> None:
    other = write_tiny_bundle(tmp_path)
    write_manifest(replace(other, provenance={"made_by": "somebody else"}))
    changed = load_bundle(tmp_path)
    with pytest.raises(BackendMismatch, match=f"model cam in Triton has bundle_digest_1 .*{changed.digest}"):
        create_app(triton_settings(changed, tiny_triton))


@contextmanager
def slow_triton(bundle: Bundle, folder: Path) -> Iterator[TritonServer]:
    """Its `cam` takes `SLOW_S` for each run of at most one picture."""
    repository = tiny_repository(bundle, folder)
    code = repository / "cam" / "1" / "model.py"
    start = "    def execute(self, requests: list[Any]) -> list[Any]:\n"
    assert start in code.read_text()
    code.write_text(code.read_text().replace(start, f"{start}        __import__('time').sleep({SLOW_S})\n"))
    config = repository / "cam" / "config.pbtxt"
    config.write_text(config.read_text().replace("max_batch_size: 4", "max_batch_size: 1").split("model_warmup")[0])
    with running_triton(repository) as server:
        yield server


async def test_deadlines_and_cancellation_reach_the_queue_of_triton(tiny_bundle: Bundle, tmp_path: Path) -> None:
    inputs = {"image": PICTURES[0][None]}
    with slow_triton(tiny_bundle, tmp_path) as server:
        backend = TritonBackend(tiny_bundle, Metrics(), urls=[server.grpc_url], call_timeout_s=PATIENCE_S)
        assert await backend.ready()

        async def call(seconds: float) -> Any:
            async with deadline(seconds):
                return await backend.infer("cam", inputs, ("scores",))

        # The first runs; the others wait behind it, one until its time is up, one until its caller goes.
        calls = [asyncio.create_task(call(PATIENCE_S))]
        await asyncio.sleep(SLOW_S / 4)  # or one of the others might come before it
        calls += [asyncio.create_task(call(seconds)) for seconds in (SLOW_S / 4, PATIENCE_S)]
        await asyncio.sleep(SLOW_S / 4)
        calls[2].cancel()
        first, late, gone = await asyncio.gather(*calls, return_exceptions=True)
        assert not isinstance(first, BaseException)
        assert first["scores"].shape == (1, 3)
        assert isinstance(late, DeadlineExceeded)
        assert isinstance(gone, asyncio.CancelledError)
        # One more goes through the same queue: what stood before it is done with.
        await call(PATIENCE_S)
        await asyncio.sleep(SLOW_S / 4)  # it counts a run after it has answered
        assert batch_sizes(server, "cam") == {1: 2}, "neither of the two was run"
        await backend.aclose()


async def test_a_new_version_is_served_beside_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    first = write_tiny_bundle(folder)
    repository = tiny_repository(first, tmp_path / "repository")
    write_manifest(replace(first, version="2"))
    second = load_bundle(folder)
    polling = ("--model-control-mode=poll", "--repository-poll-secs=1")
    with running_triton(repository, *polling) as server:
        old = TritonBackend(first, Metrics(), urls=[server.grpc_url], call_timeout_s=PATIENCE_S, probe_s=0.1)
        assert await old.ready()
        new = TritonBackend(second, Metrics(), urls=[server.grpc_url], call_timeout_s=PATIENCE_S, probe_s=0.1)
        assert not await new.ready(), "version 2 is not there yet"
        tiny_repository(second, repository)
        for backend in (old, new):
            await until_ready(backend)
            found = await backend.infer("cam", {"image": PICTURES[0][None]}, ("scores",))
            assert found["scores"].shape == (1, 3)
            await backend.aclose()
