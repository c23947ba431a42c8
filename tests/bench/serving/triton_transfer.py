"""What it costs to hand an input to Triton, over the wire and through shared memory.

The model only takes a maximum.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from deploy.triton.config import TritonOptions
from deploy.triton.repository import write_repository
from models.bundle import Bundle
from service.backends.triton.backend import TritonBackend
from service.observability.metrics import Metrics
from tests.bench.serving.server import RESPONSE_TIMEOUT_S
from tests.support.bundles.tiny_bundle import repaired, write_tiny_bundle
from tests.support.triton.server import running_triton

# The embedding that goes along with every run of the default bundle's `sam_decoder`.
SHAPE = (1, 512, 40, 40)
GRAPH = f"""
transfer (float[{",".join(map(str, SHAPE))}] embedding) => (float[1,1,1,1] most)
{{
    most = ReduceMax (embedding)
}}
"""
WARM_UP = 10


def measure_transfer(calls: int) -> dict[str, Any]:
    """Return the median milliseconds of a call by each way, the two in turns."""
    with tempfile.TemporaryDirectory() as folder:
        bundle_dir, repository = Path(folder) / "bundle", Path(folder) / "repository"
        bundle_dir.mkdir()
        bundle = repaired(write_tiny_bundle(bundle_dir), "transfer", GRAPH)
        write_repository(bundle, repository, TritonOptions("python", "cpu", max_batch=1, threads=1))
        with running_triton(repository) as triton:
            return asyncio.run(_measure(bundle, triton.grpc_url, calls))


async def _measure(bundle: Bundle, url: str, calls: int) -> dict[str, Any]:
    ways = {
        name: TritonBackend(bundle, Metrics(), urls=[url], call_timeout_s=RESPONSE_TIMEOUT_S, shared_memory_bytes=size)
        for name, size in (("wire", 0), ("shared_memory", 16 * 2**20))
    }
    embedding = np.random.default_rng(0).random(SHAPE, np.float32)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for index in range(WARM_UP + calls):
        for name, backend in ways.items():
            started_s = time.perf_counter()
            found = await backend.infer("transfer", {"embedding": embedding}, ("most",))
            if index >= WARM_UP:
                seconds[name].append(time.perf_counter() - started_s)
            assert found["most"].item() == embedding.max()
    for backend in ways.values():
        await backend.aclose()
    p50_ms = {name: round(1000 * median(taken), 3) for name, taken in seconds.items()}
    return {
        "megabytes": round(embedding.nbytes / 1e6, 2),
        "calls": calls,
        "p50_ms": p50_ms,
        "shared_memory_ratio": round(p50_ms["shared_memory"] / p50_ms["wire"], 3),
    }
