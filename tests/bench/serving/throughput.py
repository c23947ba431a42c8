"""Requests a second at several clients, beside other services that answer the same POST /detect.

Others are given as commands with `{port}` in place of the port: `weaksam serve` of an older checkout, or
`python -m tests.bench.serving.litserve_host --port {port}`. All take turns, so that a machine that slows down slows
them all.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from tests.bench.images import Sample, draw_scenes, read_images
from tests.bench.serving.server import RESPONSE_TIMEOUT_S, post_detect, started, started_by

OWN = "this service"
WARM_UP = 4


@dataclass
class Turns:
    """What one service did in its turns: seconds of each request, and requests a second of each turn."""

    seconds: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)


def measure_throughput(
    bundle_dir: Path, data_dir: Path, others: Sequence[str], clients: int, count: int, rounds: int
) -> dict[str, Any]:
    """Send `count` images in each of `rounds` turns to each service, from `clients` clients at once.

    No image is sent twice to a service, so that none answers from a cache.
    """
    needed = WARM_UP + count * rounds
    samples = read_images(data_dir, needed) if data_dir.is_dir() else draw_scenes(needed)
    turns: dict[str, Turns] = {}
    with ExitStack() as running:
        urls = {OWN: running.enter_context(started(bundle_dir, 0)).url}
        urls |= {command: running.enter_context(started_by(shlex.split(command))).url for command in others}
        for url in urls.values():
            _send_all(url, samples[:WARM_UP], clients)
        for first in range(WARM_UP, len(samples), count):
            for name, url in urls.items():
                _take_turn(turns.setdefault(name, Turns()), url, samples[first : first + count], clients)
    return {"clients": clients, "images": len(samples) - WARM_UP, "services": _figures(turns)}


def _take_turn(turns: Turns, url: str, samples: Sequence[Sample], clients: int) -> None:
    began_s = time.perf_counter()
    turns.seconds += _send_all(url, samples, clients)
    turns.rates.append(len(samples) / (time.perf_counter() - began_s))


def _send_all(url: str, samples: Sequence[Sample], clients: int) -> list[float]:
    """Return the seconds of each request; every client sends its next image when the last has been answered."""
    with (
        httpx.Client(base_url=url, timeout=RESPONSE_TIMEOUT_S) as client,
        ThreadPoolExecutor(clients) as pool,
    ):
        return [seconds for seconds, _ in pool.map(lambda sample: post_detect(client, sample, sample.tags), samples)]


def _figures(turns: dict[str, Turns]) -> dict[str, dict[str, float]]:
    own = np.array(turns[OWN].rates)
    return {
        name: {
            "per_s": round(float(np.median(taken.rates)), 3),
            # Turn by turn, so that a slow minute counts for both.
            "own_rate_to_this": round(float(np.median(own / np.array(taken.rates))), 3),
            "p50_ms": round(1000 * float(np.quantile(taken.seconds, 0.5)), 1),
            "p95_ms": round(1000 * float(np.quantile(taken.seconds, 0.95)), 1),
        }
        for name, taken in turns.items()
    }
