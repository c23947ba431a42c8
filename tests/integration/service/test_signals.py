"""A served process and its signals: it stops without losing a request, and reloads without stopping."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest

from models.bundle import Bundle
from models.bundle_files.manifest import load_bundle, write_manifest
from tests.support.bundles.service_parts import PATIENCE_S, TWO_BOLTS_AND_A_NUT
from tests.support.bundles.tiny_bundle import encoded, write_tiny_bundle
from tests.support.servers.served_process import Process, served

PICTURE = encoded(TWO_BOLTS_AND_A_NUT)
CLIENTS = 8


@dataclass
class Load:
    """Eight clients that each send one request after the other until nobody listens any more.

    Attributes:
        statuses: of the answers, by request id.
        refused: requests whose connection was not accepted.
        broken: requests whose connection was lost without an answer.
        in_flight: requests on their way.
    """

    url: str
    statuses: dict[str, int] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    in_flight: set[str] = field(default_factory=set)

    async def run(self, client: httpx.AsyncClient, name: str) -> None:
        for number in range(100_000):
            id_ = f"{name}-{number}"
            self.in_flight.add(id_)
            try:
                answer = await client.post(
                    "/detect", headers={"X-Request-Id": id_}, files={"image": PICTURE}, data={"tags": "red-bolt"}
                )
            except httpx.ConnectError:
                self.refused.append(id_)
                return
            except httpx.TransportError:
                self.broken.append(id_)
                return
            finally:
                self.in_flight.discard(id_)
            self.statuses[id_] = answer.status_code

    async def start(self, client: httpx.AsyncClient, answers: int) -> list[asyncio.Task[None]]:
        """Begin, and return once so many answers have come and all clients wait for one."""
        tasks = [asyncio.create_task(self.run(client, f"c{number}")) for number in range(CLIENTS)]
        async with asyncio.timeout(PATIENCE_S):
            while len(self.statuses) < answers or len(self.in_flight) < CLIENTS:  # noqa: ASYNC110 - a load has no events
                await asyncio.sleep(0.001)
        return tasks


async def stop_under_load(process: Process, answers: int) -> tuple[Load, set[str], list[int]]:
    """SIGTERM under load: the load, what was on its way at that moment, and what /readyz said from then on."""
    url = await asyncio.to_thread(process.wait_until_ready)
    load, readiness = Load(url), []
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_S) as client:
        tasks = await load.start(client, answers)
        on_their_way = set(load.in_flight)
        process.popen.send_signal(signal.SIGTERM)
        while not all(task.done() for task in tasks):
            try:
                readiness.append((await client.get("/readyz")).status_code)
            except httpx.TransportError:
                break
            await asyncio.sleep(0.02)
        await asyncio.gather(*tasks)
    await asyncio.to_thread(process.popen.wait, PATIENCE_S)
    return load, on_their_way, readiness


@pytest.mark.parametrize("drain_s", ["1.5", "0"], ids=["with a drain", "at once"])
async def test_sigterm_loses_no_request(tiny_bundle: Bundle, tmp_path: Path, drain_s: str) -> None:
    # One worker, so that most requests wait in the queue when the signal comes.
    with served(tiny_bundle.folder, tmp_path / "log", WORKERS="1", DRAIN_S=drain_s) as process:
        load, on_their_way, readiness = await stop_under_load(process, answers=16)
        answered = process.answered()
    assert process.popen.returncode in (0, -signal.SIGTERM)
    assert Counter(load.statuses.values()) == {200: len(load.statuses)}
    assert on_their_way <= set(load.statuses), "what was in work or waiting has been finished"
    assert answered == load.statuses
    assert load.broken == [], "what was accepted has been answered"
    assert len(load.refused) == CLIENTS
    if drain_s != "0":
        assert 503 in readiness
        assert len(load.statuses) > 16 + len(on_their_way), "while it drains, the service goes on answering"


async def test_when_the_grace_is_over_the_rest_is_refused_not_cut_off(tiny_bundle: Bundle, tmp_path: Path) -> None:
    settings = {"WORKERS": "1", "DRAIN_S": "0", "SHUTDOWN_GRACE_S": "0"}
    with served(tiny_bundle.folder, tmp_path / "log", **settings) as process:
        load, on_their_way, _ = await stop_under_load(process, answers=16)
    assert set(load.statuses.values()) <= {200, 503}
    assert on_their_way <= set(load.statuses)


async def test_sighup_reloads_the_bundle_and_a_failure_leaves_the_old_one(tmp_path: Path) -> None:
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        write_manifest(replace(write_tiny_bundle(tmp_path / version), version=version))
    link = tmp_path / "current"
    link.symlink_to(tmp_path / "1")
    with served(link, tmp_path / "log") as process:
        url = await asyncio.to_thread(process.wait_until_ready)
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_S) as client:
            link.unlink()
            process.popen.send_signal(signal.SIGHUP)
            async with asyncio.timeout(PATIENCE_S):
                while 'weaksam_reloads_total{outcome="failed"} 1.0' not in (await client.get("/metrics")).text:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            assert (await client.get("/labels")).json()["bundle"]["version"] == "1"
            link.symlink_to(tmp_path / "2")
            process.popen.send_signal(signal.SIGHUP)
            async with asyncio.timeout(PATIENCE_S):
                while (await client.get("/labels")).json()["bundle"]["version"] != "2":  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            answer = await client.post("/detect", files={"image": PICTURE}, data={"tags": "red-bolt"})
            assert answer.json()["bundle"]["digest"] == load_bundle(tmp_path / "2").digest
        rows = process.rows()
    (failed,) = [row for row in rows if row["message"].startswith("the bundle stays as it was")]
    assert "bundle.json does not exist" in failed["message"]
    assert [row["outcome"] for row in rows if row["message"] == "reloaded"] == ["swapped"]


def test_a_sighup_during_the_start_reloads_after_it(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    write_tiny_bundle(tmp_path / "bundle")
    with served(tmp_path / "bundle", tmp_path / "log") as process:
        process.wait_for_message("listening on")
        process.popen.send_signal(signal.SIGHUP)
        process.wait_until_ready()
        process.wait_for_message("reloaded")
        messages = [row["message"] for row in process.rows()]
    assert messages.index("reloading") < messages.index("reloaded")
