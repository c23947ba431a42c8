"""Tritons that are killed, frozen and restarted under a steady load; the gateway is never restarted."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.bundle import Bundle
from service.app import create_app
from tests.support.bundles.service_parts import PATIENCE_S, TWO_BOLTS_AND_A_NUT, tiny_settings
from tests.support.bundles.tiny_bundle import encoded
from tests.support.servers.live_server import live_server
from tests.support.triton.fixtures import tiny_repository
from tests.support.triton.server import TritonServer

PICTURE = encoded(TWO_BOLTS_AND_A_NUT)
CLIENTS = 8
# Enough answers of one kind to say that it lasts.
ENOUGH = 24
DEADLINE_S = 4.0
MAX_GROWTH_BYTES = 64 * 2**20


@dataclass
class Load:
    """Steady clients, each sending its next request when it has the answer to the last.

    Attributes:
        answers: all of them, in the order of their coming.
    """

    client: httpx.AsyncClient
    answers: list[httpx.Response] = field(default_factory=list)

    async def run(self) -> None:
        await asyncio.gather(*(self._one_client() for _ in range(CLIENTS)))

    async def _one_client(self) -> None:
        while True:
            answer = await self.client.post("/detect", files={"image": PICTURE}, data={"tags": "red-bolt"})
            self.answers.append(answer)
            # A refusal comes at once; as a real client would, do not ask again in the same moment.
            await asyncio.sleep(0 if answer.is_success else 0.02)

    async def until(self, status: int, count: int = ENOUGH) -> None:
        """Return when so many more answers of this status have come."""
        seen = len(self.answers)
        await until(lambda: sum(row.status_code == status for row in self.answers[seen:]) >= count)

    def statuses(self, since: int = 0) -> Counter[int]:
        return Counter(answer.status_code for answer in self.answers[since:])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - what it waits for knows nothing of this loop
            await asyncio.sleep(0.02)


async def until_readyz(client: httpx.AsyncClient, status: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await client.get("/readyz")).status_code != status:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.02)


async def gauge(client: httpx.AsyncClient, name: str) -> float:
    lines = (await client.get("/metrics")).text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def started(bundle: Bundle, folder: Path, count: int) -> Iterator[list[TritonServer]]:
    repository = tiny_repository(bundle, folder / "repository")
    servers = [TritonServer(repository) for _ in range(count)]
    try:
        for server in servers:
            server.start()
        yield servers
    finally:
        for server in servers:
            server.stop()


@asynccontextmanager
async def under_load(bundle: Bundle, servers: list[TritonServer], **changes: Any) -> AsyncIterator[Load]:
    """A ready gateway over a socket, with the clients already being answered."""
    urls = ",".join(server.grpc_url for server in servers)
    settings = {"triton_probe_s": 0.2, "triton_breaker_open_s": 1.0, "cache_bytes": 0, "workers": 4, **changes}
    app = create_app(tiny_settings(bundle.folder, backend="triton", triton_urls=urls, **settings))
    with live_server(app) as url:
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_S) as client:
            await until_readyz(client, 200)
            load = Load(client)
            running = asyncio.create_task(load.run())
            try:
                await load.until(200)
                yield load
            finally:
                running.cancel()
                with suppress(asyncio.CancelledError):
                    await running


async def test_killed_and_restarted(tiny_bundle: Bundle, tmp_path: Path) -> None:
    with started(tiny_bundle, tmp_path, 1) as [triton]:
        async with under_load(tiny_bundle, [triton]) as load:
            triton.kill()
            await until_readyz(load.client, 503)
            await load.until(503)
            await asyncio.to_thread(triton.start)
            await until_readyz(load.client, 200)
            recovered = len(load.answers)
            await load.until(200)
        refused = [answer for answer in load.answers if answer.status_code != 200]
        assert {answer.status_code for answer in refused} == {503}, load.statuses()
        assert {answer.json()["code"] for answer in refused} == {"backend_unavailable"}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        # What was refused while it recovered may still have been on its way to its client.
        assert set(load.statuses(recovered + CLIENTS)) == {200}


async def test_frozen(tiny_bundle: Bundle, tmp_path: Path) -> None:
    with started(tiny_bundle, tmp_path, 1) as [triton]:
        async with under_load(tiny_bundle, [triton], deadline_s=DEADLINE_S, workers=2, queue_size=CLIENTS) as load:
            triton.freeze()
            frozen = len(load.answers)
            before = resident_bytes()
            await load.until(504, 2)
            await until_readyz(load.client, 503)
            await load.until(503, 10 * ENOUGH)
            assert await gauge(load.client, "weaksam_queue_depth") <= CLIENTS
            assert resident_bytes() - before < MAX_GROWTH_BYTES
            while_frozen = load.answers[frozen:]
            triton.thaw()
            await until_readyz(load.client, 200)
            recovered = len(load.answers)
            await load.until(200)
        assert set(load.statuses()) == {200, 503, 504}
        late = [answer for answer in while_frozen if answer.status_code == 504]
        assert {answer.json()["code"] for answer in late} == {"deadline_exceeded"}
        assert min(answer.elapsed.total_seconds() for answer in late) > DEADLINE_S / 2, "they waited for an answer"
        assert set(load.statuses(recovered + CLIENTS)) == {200}


@pytest.mark.parametrize("fault", ["killed", "frozen"])
async def test_one_of_two_lost(tiny_bundle: Bundle, tmp_path: Path, fault: str) -> None:
    with started(tiny_bundle, tmp_path, 2) as tritons:
        lost = tritons[0]
        async with under_load(tiny_bundle, tritons, queue_size=CLIENTS) as load:
            lost.kill() if fault == "killed" else lost.freeze()
            await until_serving(load.client, lost, 0)
            await load.until(200, 2 * ENOUGH)
            assert (await load.client.get("/readyz")).status_code == 200
            await asyncio.to_thread(lost.start) if fault == "killed" else lost.thaw()
            await until_serving(load.client, lost, 1)
            await load.until(200, 2 * ENOUGH)
        assert load.statuses() == {200: len(load.answers)}


async def until_serving(client: httpx.AsyncClient, server: TritonServer, value: int) -> None:
    name = f'weaksam_triton_serving{{endpoint="{server.grpc_url}"}}'
    async with asyncio.timeout(PATIENCE_S):
        while await gauge(client, name) != value:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.02)
