"""What a click costs: POST /segment on an image that is encoded already, from one client and from many at once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from tests.bench.images import Sample, draw_scenes
from tests.bench.serving.server import RESPONSE_TIMEOUT_S, started

SEED = 5
DECODER_STAGE = "sam_decoder"


def measure_clicks(bundle_dir: Path, threads: int, count: int, clients: int) -> dict[str, Any]:
    """Click `count` times from one client, then `count` times from each of `clients` at once, then once more with zoom.

    Returns quantiles of the time of a click in ms, with and without the decoder's own, and how often each status came.
    """
    rng = np.random.default_rng(SEED)
    samples = draw_scenes(clients)
    with (
        started(bundle_dir, threads) as server,
        httpx.Client(base_url=server.url, timeout=RESPONSE_TIMEOUT_S) as client,
    ):
        digests = [_first_click(client, sample) for sample in samples]
        alone = [_click(client, digests[0], point) for point in _points(rng, count)]
        with ThreadPoolExecutor(clients) as pool:
            clicks = [(digests[i % clients], point) for i, point in enumerate(_points(rng, count * clients))]
            crowd = list(pool.map(lambda click: _click(client, *click), clicks))
        # At last, for parts of an image take the place of others in the cache.
        zoomed = [_click(client, digests[0], point, zoom=True) for point in _points(rng, count)]
    beyond_ms = [total_ms - decoder_ms for _, total_ms, decoder_ms in alone]
    return {
        "clicks": count,
        "clients": clients,
        "p50_ms": _quantile([total_ms for _, total_ms, _ in alone], 0.5),
        "p95_ms": _quantile([total_ms for _, total_ms, _ in alone], 0.95),
        "zoom_p50_ms": _quantile([total_ms for _, total_ms, _ in zoomed], 0.5),
        "zoom_p95_ms": _quantile([total_ms for _, total_ms, _ in zoomed], 0.95),
        "p50_beyond_decoder_ms": _quantile(beyond_ms, 0.5),
        "at_once_p50_ms": _quantile([total_ms for _, total_ms, _ in crowd], 0.5),
        "at_once_p95_ms": _quantile([total_ms for _, total_ms, _ in crowd], 0.95),
        "statuses": Counter(str(status) for status, _, _ in (*alone, *zoomed, *crowd)),
    }


def _first_click(client: httpx.Client, sample: Sample) -> str:
    response = client.post("/segment", files={"image": sample.data}, data={"points": "[[10, 10, 1]]", "zoom": "true"})
    digest: str = response.raise_for_status().json()["image"]["sha256"]
    return digest


def _points(rng: np.random.Generator, count: int) -> Sequence[list[int]]:
    return [[int(x), int(y), 1] for x, y in rng.integers(20, 460, (count, 2))]


def _click(client: httpx.Client, digest: str, point: list[int], *, zoom: bool = False) -> tuple[int, float, float]:
    """Return the status, the time until the response, and the decoder's part of it, both in ms."""
    began_s = time.perf_counter()
    response = client.post("/segment", json={"image_sha256": digest, "points": [point], "zoom": zoom})
    total_ms = 1000 * (time.perf_counter() - began_s)
    timing_ms = response.json().get("timing_ms", {})
    return response.status_code, total_ms, timing_ms.get(DECODER_STAGE, 0.0)


def _quantile(values_ms: Sequence[float], share: float) -> float:
    return round(float(np.quantile(values_ms, share)), 1)
