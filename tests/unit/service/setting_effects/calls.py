"""Requests to a service inside the same event loop, for the checks beside this."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from models.bundle import Bundle
from service.app import create_app
from service.inference.pipeline import Pipeline
from tests.support.bundles.service_parts import (
    TWO_BOLTS_AND_A_NUT,
    WatchedBackend,
    metric,
    tiny_settings,
    until,
)
from tests.support.bundles.tiny_bundle import encoded

Check = Callable[[Bundle, pytest.MonkeyPatch], Coroutine[None, None, None]]
PICTURE = encoded(TWO_BOLTS_AND_A_NUT)


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


async def statuses_of(bundle: Bundle, requests: int = 1, tags: str = "red-bolt", **changes: Any) -> list[int]:
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
