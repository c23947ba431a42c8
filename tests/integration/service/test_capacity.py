"""More requests than can be served, requests that take too long, and clients that do not wait."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from models.bundle import Bundle
from service.app import create_app
from tests.support.bundles.service_parts import PATIENCE_S, TWO_BOLTS_AND_A_NUT, WatchedBackend, tiny_settings, until
from tests.support.bundles.tiny_bundle import encoded
from tests.support.servers.live_server import live_server

PICTURE = encoded(TWO_BOLTS_AND_A_NUT)


@asynccontextmanager
async def gated_service(bundle: Bundle, **changes: Any) -> AsyncIterator[tuple[httpx.AsyncClient, WatchedBackend]]:
    """The service over a socket, its graphs behind a gate that is open for the warm-up and shut after it."""
    backend = WatchedBackend(bundle)
    app = create_app(tiny_settings(bundle.folder, cache_bytes=0, **changes), backend)
    limits = httpx.Limits(max_connections=100)
    with live_server(app) as url:
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_S, limits=limits) as client:
            await until_ready(client)
            backend.shut()
            yield client, backend
            backend.release()


async def until_ready(client: httpx.AsyncClient) -> None:
    """Wait until the warm-up is over, masks included: it must not stand at the gate."""
    for _ in range(round(PATIENCE_S / 0.02)):
        if (await client.get("/readyz")).status_code == 200:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the service has not become ready")


async def post(client: httpx.AsyncClient) -> httpx.Response:
    return await client.post("/detect", files={"image": PICTURE}, data={"tags": "red-bolt"})


async def until_metrics(client: httpx.AsyncClient, *lines: str) -> None:
    """Wait until `/metrics` has all these lines: requests arrive when the machine has time for them."""
    text = ""
    for _ in range(round(PATIENCE_S / 0.02)):
        text = (await client.get("/metrics")).text
        if all(line in text for line in lines):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{lines} are not all in {text}")


async def test_64_at_once_on_a_queue_of_8(tiny_bundle: Bundle) -> None:
    async with gated_service(tiny_bundle, workers=2, queue_size=8) as (client, backend):
        tasks = [asyncio.create_task(post(client)) for _ in range(64)]
        await until(lambda: sum(task.done() for task in tasks) == 54)
        # Refused at once, while those before them have not moved.
        refused = [task.result() for task in tasks if task.done()]
        assert {answer.status_code for answer in refused} == {503}
        assert {answer.json()["code"] for answer in refused} == {"busy"}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        metrics = (await client.get("/metrics")).text
        assert "weaksam_queue_depth 8.0" in metrics
        assert "weaksam_running 2.0" in metrics
        backend.release()
        statuses = Counter(answer.status_code for answer in await asyncio.gather(*tasks))
        assert statuses == {200: 10, 503: 54}
        assert (await post(client)).status_code == 200


async def test_the_deadline_covers_waiting_and_work(tiny_bundle: Bundle) -> None:
    async with gated_service(tiny_bundle, workers=1, queue_size=1, deadline_s=0.3) as (client, backend):
        answers = await asyncio.gather(post(client), post(client))
        assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(504, "deadline_exceeded")] * 2
        await until(lambda: backend.held == 0)
        backend.release()
        assert (await post(client)).status_code == 200


async def test_work_is_dropped_when_its_client_goes(tiny_bundle: Bundle) -> None:
    async with gated_service(tiny_bundle, workers=1, queue_size=4) as (client, backend):
        running = asyncio.create_task(post(client))
        await until(lambda: backend.held == 2)
        waiting = asyncio.create_task(post(client))
        await until_metrics(client, "weaksam_queue_depth 1.0")
        before = backend.runs.copy()
        waiting.cancel()
        # First: a busy machine may notice late that it is gone, when the other has made room for it.
        await until_metrics(client, "weaksam_queue_depth 0.0")
        running.cancel()
        await asyncio.gather(running, waiting, return_exceptions=True)
        # Neither what was being worked on nor what was waiting goes on.
        await until(lambda: backend.held == 0)
        backend.release()
        await asyncio.sleep(0.1)
        assert backend.runs == before
        assert (await post(client)).status_code == 200
        gone = 'weaksam_requests_total{code="client_gone",route="/detect",status="499"} 2.0'
        await until_metrics(client, gone, "weaksam_queue_depth 0.0", "weaksam_running 0.0")


async def test_what_is_shared_goes_on_for_those_who_wait(tiny_bundle: Bundle) -> None:
    async with gated_service(tiny_bundle, workers=2) as (client, backend):
        first = asyncio.create_task(post(client))
        await until(lambda: backend.held == 2)
        second = asyncio.create_task(post(client))
        await until_metrics(client, "weaksam_running 2.0")
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        backend.release()
        assert (await second).status_code == 200
        assert (backend.runs["cam"], backend.runs["sam_encoder"]) == (2, 2), "the warm-up and one for both requests"
