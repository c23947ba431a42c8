"""One pipeline takes over from another: leases, failures, and what becomes of the old one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from models.bundle import Bundle
from models.bundle_files.manifest import load_bundle, write_manifest
from service.inference.cache import ResultCache
from service.inference.pipeline import Pipeline, RequestLimits
from service.observability.metrics import Metrics
from service.runtime.active_bundle import ActiveBundle
from tests.support.bundles.service_parts import TWO_BOLTS_AND_A_NUT, WatchedBackend, decoded, until
from tests.support.bundles.tiny_bundle import write_tiny_bundle


class Shelf:
    """Pipelines of two versions of one bundle, on a common cache as the service has them."""

    def __init__(self, folder: Path) -> None:
        self.bundle = write_tiny_bundle(folder)
        self.metrics = Metrics()
        self.cache = ResultCache(2**20, self.metrics)
        self.backends: list[WatchedBackend] = []
        self.before_open: Callable[[WatchedBackend], None] = lambda backend: None

    def read(self) -> Bundle:
        return load_bundle(self.bundle.folder)

    def open(self, bundle: Bundle) -> Pipeline:
        backend = WatchedBackend(bundle)
        self.before_open(backend)
        self.backends.append(backend)
        return Pipeline(bundle, backend, self.cache, RequestLimits(), self.metrics)

    def active(self) -> ActiveBundle:
        return ActiveBundle(self.open(self.read()), self.read, self.open)

    def put(self, version: str) -> None:
        write_manifest(replace(self.bundle, version=version))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


async def detect(pipeline: Pipeline) -> str:
    return (await pipeline.detect(decoded(TWO_BOLTS_AND_A_NUT), ["red-bolt"])).bundle.version


async def test_another_bundle_takes_over_after_its_warm_up(shelf: Shelf) -> None:
    active = shelf.active()
    shelf.put("2")
    assert await active.reload() == "swapped"
    assert active.warm
    first, second = shelf.backends
    assert second.runs["wsod"] == 1, "the warm-up ran every graph"
    assert not await first.ready()
    assert await detect(active.pipeline) == "2"
    await active.aclose()
    assert not await second.ready()


async def test_whoever_has_a_lease_keeps_the_old_one_to_the_end(shelf: Shelf) -> None:
    active = shelf.active()
    first = shelf.backends[0]
    shelf.put("2")
    with active.lease() as old:
        reload = asyncio.create_task(active.reload())
        await until(lambda: active.pipeline is not old)
        with active.lease() as new:
            assert [await detect(old), await detect(new)] == ["1", "2"]
        await asyncio.sleep(0.05)
        assert await first.ready()
        assert not reload.done()
    assert await reload == "swapped"
    assert not await first.ready()
    await active.aclose()


async def test_a_warm_up_keeps_its_pipeline_to_the_end_as_a_request_does(shelf: Shelf) -> None:
    active = shelf.active()
    first = shelf.backends[0]
    shelf.put("2")
    first.shut()
    warm_up = asyncio.create_task(active.warm_up())
    await until(lambda: first.held > 0)
    reload = asyncio.create_task(active.reload())
    await until(lambda: active.pipeline.bundle.version == "2")
    first.release()
    await warm_up
    assert await reload == "swapped"
    assert not await first.ready()
    await active.aclose()


async def test_reloads_come_one_after_the_other(shelf: Shelf) -> None:
    active = shelf.active()
    shelf.put("2")
    assert sorted(await asyncio.gather(active.reload(), active.reload())) == ["swapped", "unchanged"]
    assert [await backend.ready() for backend in shelf.backends] == [False, True]
    await active.aclose()


async def test_the_same_bundle_changes_nothing(shelf: Shelf) -> None:
    active = shelf.active()
    before = active.pipeline
    assert await active.reload() == "unchanged"
    assert active.pipeline is before
    assert active.warm, "a service whose first warm-up failed gets another attempt"
    assert len(shelf.backends) == 1, "no second backend takes memory only to be closed"
    assert await shelf.backends[0].ready()
    await active.aclose()


def _failing(backend: WatchedBackend) -> None:
    backend.failing = True


async def test_the_old_one_stays_where_the_warm_up_fails(shelf: Shelf) -> None:
    active = shelf.active()
    await active.warm_up()
    shelf.put("2")
    shelf.before_open = _failing
    with pytest.raises(RuntimeError, match="of the test"):
        await active.reload()
    assert [await backend.ready() for backend in shelf.backends] == [True, False]
    assert await detect(active.pipeline) == "1"
    shelf.before_open = lambda backend: None
    assert await active.reload() == "swapped"
    await active.aclose()


async def test_the_old_one_stays_where_the_bundle_cannot_be_read(shelf: Shelf) -> None:
    active = shelf.active()
    (shelf.bundle.folder / "cam.onnx").write_bytes(b"torn")
    shelf.put("2")
    with pytest.raises(ValueError, match="cam"):
        await active.reload()
    assert await detect(active.pipeline) == "1"
    await active.aclose()


async def test_back_to_the_first_bundle_runs_its_graphs_anew(shelf: Shelf) -> None:
    active = shelf.active()
    await active.warm_up()
    assert await detect(active.pipeline) == "1"
    for version in ("2", "1"):
        shelf.put(version)
        assert await active.reload() == "swapped"
    third = shelf.backends[2]
    # Nothing that the first backend has computed may pass for a warm-up of the third.
    assert third.runs["sam_encoder"] == 1
    await detect(active.pipeline)
    assert third.runs["sam_encoder"] == 2
    await active.aclose()


async def test_what_is_dropped_of_one_bundle_leaves_the_others(shelf: Shelf) -> None:
    pipelines = []
    for version in ("1", "2"):
        shelf.put(version)
        pipelines.append(shelf.open(shelf.read()))
        await detect(pipelines[-1])
    held = shelf.metrics.registry.get_sample_value("weaksam_cache_bytes")
    assert held
    await pipelines[0].aclose()
    assert shelf.metrics.registry.get_sample_value("weaksam_cache_bytes") == held / 2
    await detect(pipelines[1])
    assert shelf.backends[1].runs["sam_encoder"] == 1
    await pipelines[1].aclose()
    assert shelf.metrics.registry.get_sample_value("weaksam_cache_bytes") == 0
