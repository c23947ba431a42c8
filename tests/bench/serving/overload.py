"""Twice the load that the service can carry: who gets a result, who is refused, how soon, and memory."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from tests.bench.images import Sample, draw_scenes
from tests.bench.serving.server import RESPONSE_TIMEOUT_S, Started, started

IMAGES = 8
WORKERS, QUEUE_SIZE = 2, 8
# Nothing from the cache: an image costs as much the second time, and memory does not grow because it fills.
OPTIONS = ("--workers", str(WORKERS), "--queue-size", str(QUEUE_SIZE), "--cache-bytes", "0")
SEED = 20261
SAMPLE_S = 1.0
WINDOWS = 20


@dataclass(frozen=True)
class Sent:
    """One request: when it was sent after the start, how long its response took, and what that was."""

    at_s: float
    seconds: float
    status: int
    retry_after: str | None


def measure_overload(bundle_dir: Path, threads: int, minutes: float, capacity_s: float = 30.0) -> dict[str, Any]:
    """Find how many requests a second complete if the queue is always full, then offer twice as many.

    Args:
        bundle_dir: what is served.
        threads: of onnxruntime; 0 is one per core.
        minutes: of overload.
        capacity_s: length of the search for the capacity.
    """
    samples = draw_scenes(IMAGES)
    with started(bundle_dir, threads, *OPTIONS) as server:
        return asyncio.run(_measure(server, samples, minutes * 60, capacity_s))


async def _measure(server: Started, samples: Sequence[Sample], seconds: float, capacity_s: float) -> dict[str, Any]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
    async with httpx.AsyncClient(base_url=server.url, timeout=RESPONSE_TIMEOUT_S, limits=limits) as client:
        await _full_queue(client, samples, capacity_s / 3)
        full = await _full_queue(client, samples, capacity_s)
        capacity_per_s = len(full) / (max(row.at_s + row.seconds for row in full))
        memory: list[int] = []
        watch = asyncio.create_task(_watch(server, memory))
        sent = await _open_loop(client, samples, 2 * capacity_per_s, seconds)
        watch.cancel()
    return _summary(full, sent, capacity_per_s, memory)


async def _full_queue(client: httpx.AsyncClient, samples: Sequence[Sample], seconds: float) -> list[Sent]:
    """Run as many clients as can be in work or waiting; each sends its next request when it has its response."""
    start_s, rows, turn = time.perf_counter(), list[Sent](), itertools.cycle(samples)

    async def go_on() -> None:
        while time.perf_counter() - start_s < seconds:
            rows.append(await _post(client, next(turn), start_s))

    await asyncio.gather(*(go_on() for _ in range(WORKERS + QUEUE_SIZE)))
    return rows


async def _open_loop(client: httpx.AsyncClient, samples: Sequence[Sample], per_s: float, seconds: float) -> list[Sent]:
    """Send requests at random times, whether earlier ones have completed or not."""
    start_s, random_, turn = time.perf_counter(), random.Random(SEED), itertools.cycle(samples)
    tasks = []
    at_s = 0.0
    while (at_s := at_s + random_.expovariate(per_s)) < seconds:
        await asyncio.sleep(max(0.0, start_s + at_s - time.perf_counter()))
        tasks.append(asyncio.create_task(_post(client, next(turn), start_s)))
    return await asyncio.gather(*tasks)


async def _post(client: httpx.AsyncClient, sample: Sample, start_s: float) -> Sent:
    sent_s = time.perf_counter()
    response = await client.post(
        "/detect",
        files={"image": ("image.jpg", sample.data, "image/jpeg")},
        data={"tags": ",".join(sample.tags), "unknown_tags": "skip"},
    )
    seconds = time.perf_counter() - sent_s
    return Sent(sent_s - start_s, seconds, response.status_code, response.headers.get("retry-after"))


async def _watch(server: Started, memory: list[int]) -> None:
    while True:
        memory.append(server.resident_bytes())
        await asyncio.sleep(SAMPLE_S)


def _summary(
    full: Sequence[Sent], sent: Sequence[Sent], capacity_per_s: float, memory: Sequence[int]
) -> dict[str, Any]:
    completed = [row for row in sent if row.status == 200]
    refused = [row for row in sent if row.status == 503]
    span_s = max(row.at_s for row in sent)
    halves = [[row for row in completed if (row.at_s < span_s / 2) == early] for early in (True, False)]
    return {
        "capacity_per_s": round(capacity_per_s, 2),
        "offered_per_s": round(len(sent) / span_s, 2),
        "completed_per_s": round(len(completed) / span_s, 2),
        "minutes": round(span_s / 60, 2),
        "workers": WORKERS,
        "queue_size": QUEUE_SIZE,
        "statuses": {str(status): count for status, count in sorted(Counter(row.status for row in sent).items())},
        "refused_without_retry_after": sum(row.retry_after is None for row in refused),
        "full_queue_ms": _quantiles_ms(full),
        "completed_ms": _quantiles_ms(completed),
        "completed_first_half_ms": _quantiles_ms(halves[0]),
        "completed_second_half_ms": _quantiles_ms(halves[1]),
        "refused_ms": _quantiles_ms(refused),
        "memory_mb": [round(bytes_ / 2**20, 1) for bytes_ in _window_medians(memory)],
        "memory_growth": round(steady_growth(memory), 4),
    }


def steady_growth(memory: Sequence[int]) -> float:
    """Return the growth that goes on, as a share of the memory at the beginning.

    It is the median change from one twentieth of the time to the next, times their number. A leak grows in every one.
    When requests first meet in the same network, onnxruntime's arena grows once, by 2 or 3 %, which is no leak. That
    happens up to four times a minute: in tenths of a minute, such steps touch half of the changes.
    """
    windows = _window_medians(memory)
    return float(np.median(np.diff(windows)) * (len(windows) - 1) / windows[0])


def _window_medians(memory: Sequence[int]) -> list[float]:
    return [float(np.median(window)) for window in np.array_split(np.asarray(memory), WINDOWS)]


def _quantiles_ms(rows: Sequence[Sent]) -> dict[str, float]:
    if not rows:
        return {}
    values = np.quantile([1000 * row.seconds for row in rows], (0.5, 0.95, 0.99))
    return dict(zip(("p50", "p95", "p99"), (round(float(value), 1) for value in values), strict=True))
