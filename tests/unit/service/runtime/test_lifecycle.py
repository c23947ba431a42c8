"""What the log says of readiness."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from models.bundle import Bundle
from models.bundle_files.manifest import load_bundle, write_manifest
from service.inference.cache import ResultCache
from service.inference.pipeline import Pipeline, RequestLimits
from service.observability.logs import LOGGER_NAME
from service.observability.metrics import Metrics
from service.runtime.active_bundle import ActiveBundle
from service.runtime.lifecycle import Lifecycle
from tests.support.bundles.service_parts import WatchedBackend, until
from tests.support.bundles.tiny_bundle import write_tiny_bundle


async def test_a_warm_up_that_fails_after_a_reload_leaves_the_service_ready(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle, metrics = write_tiny_bundle(tmp_path), Metrics()
    cache = ResultCache(0, metrics)
    backends: list[WatchedBackend] = []

    def open_(bundle: Bundle) -> Pipeline:
        backends.append(WatchedBackend(bundle))
        return Pipeline(bundle, backends[-1], cache, RequestLimits(), metrics)

    active = ActiveBundle(open_(load_bundle(tmp_path)), lambda: load_bundle(tmp_path), open_)
    lifecycle = Lifecycle(active, None, metrics)
    write_manifest(replace(bundle, version="2"))
    backends[0].shut()
    with caplog.at_level(logging.INFO, LOGGER_NAME):
        warm_up = asyncio.create_task(lifecycle.warm_up())
        await until(lambda: backends[0].held > 0)
        reload = asyncio.create_task(lifecycle.reload())
        await until(lambda: active.warm)
        backends[0].failing = True
        backends[0].release()
        await warm_up
        await reload
    await lifecycle.check_ready()
    said = [record.getMessage() for record in caplog.records]
    assert "the warm-up inference of the replaced bundle failed" in said
    assert "ready" in said
    assert not any("stays not ready" in text for text in said)
    await active.aclose()
