"""How much the service adds to a real Triton: `POST /detect` at one client against a bare loop of the same calls."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from rich.progress import track
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput

from deploy.triton.config import TritonOptions
from deploy.triton.repository import write_repository
from models.bundle import Bundle
from models.bundle_files.manifest import load_bundle
from models.triton import TRITON_TYPES
from service.backends.triton.backend import TritonBackend
from service.observability.metrics import Metrics
from tests.bench.bare_loop import Call, RecordingBackend
from tests.bench.images import draw_scenes
from tests.bench.serving.detect import SETTLE_S, WARM_UP, Recorded, record
from tests.bench.serving.server import RESPONSE_TIMEOUT_S, post_detect, started
from tests.bench.serving.triton_transfer import measure_transfer
from tests.support.triton.server import TritonServer, running_triton

TRANSFERS = 200
SHARED_MEMORY_BYTES = 64 * 2**20
Way = Callable[[Recorded], float]


def measure_triton(bundle_dir: Path, threads: int, count: int) -> dict[str, Any]:
    """Send `count` different images through a gateway, a gateway that shares memory with Triton, and the loop."""
    bundle = load_bundle(bundle_dir)
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "repository"
        write_repository(bundle, repository, TritonOptions("python", "cpu", max_batch=1, threads=threads))
        with running_triton(repository) as triton:
            recorded = asyncio.run(_record(bundle, bundle_dir, triton, WARM_UP + count))
            wire = ("--backend", "triton", "--triton-urls", triton.grpc_url)
            memory = (*wire, "--triton-memory-bytes", str(SHARED_MEMORY_BYTES))
            with (
                started(bundle_dir, threads, *wire) as over_wire,
                started(bundle_dir, threads, *memory) as over_memory,
                InferenceServerClient(triton.grpc_url) as client,
            ):
                ways: dict[str, Way] = {
                    "bare": lambda row: bare_seconds(client, row.calls),
                    "wire": lambda row: _served_seconds(over_wire.client, row),
                    "shared_memory": lambda row: _served_seconds(over_memory.client, row),
                }
                found = _summary(_measure(ways, recorded), recorded[WARM_UP:])
    return {**found, "transfer": measure_transfer(TRANSFERS)}


def bare_seconds(client: Any, calls: Sequence[Call]) -> float:
    """Return the wall time of making the calls one after the other with nothing but Triton's own client."""
    started_s = time.perf_counter()
    for call in calls:
        inputs = []
        for name, array in call.inputs.items():
            tensor = InferInput(name, array.shape, TRITON_TYPES[array.dtype.name])
            inputs.append(tensor.set_data_from_numpy(array))
        result = client.infer(call.graph, inputs, outputs=[InferRequestedOutput(name) for name in call.outputs])
        for name in call.outputs:
            result.as_numpy(name)
    return time.perf_counter() - started_s


async def _record(bundle: Bundle, bundle_dir: Path, triton: TritonServer, count: int) -> list[Recorded]:
    backend = TritonBackend(bundle, Metrics(), urls=[triton.grpc_url], call_timeout_s=RESPONSE_TIMEOUT_S)
    return await record(bundle_dir, RecordingBackend(backend), draw_scenes(count))


def _served_seconds(client: httpx.Client, row: Recorded) -> float:
    return post_detect(client, row.sample, row.sample.tags)[0]


def _measure(ways: Mapping[str, Way], recorded: Sequence[Recorded]) -> dict[str, list[float]]:
    """Return the seconds of every image by each way; each way goes first in its turn."""
    names = list(ways)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for index, row in enumerate(track(recorded, "triton")):
        first = index % len(names)
        for name in names[first:] + names[:first]:
            time.sleep(SETTLE_S)
            taken_s = ways[name](row)
            if index >= WARM_UP:
                seconds[name].append(taken_s)
    return seconds


def _summary(seconds: Mapping[str, Sequence[float]], recorded: Sequence[Recorded]) -> dict[str, Any]:
    p50 = {name: median(taken) for name, taken in seconds.items()}
    return {
        "triton_p50_ratio": round(p50["wire"] / p50["bare"], 3),
        "triton_median_of_ratios": round(_paired(seconds, "wire", "bare"), 3),
        "shared_memory_p50_ratio": round(p50["shared_memory"] / p50["wire"], 3),
        "shared_memory_median_of_ratios": round(_paired(seconds, "shared_memory", "wire"), 3),
        "p50_ms": {name: round(1000 * value, 2) for name, value in p50.items()},
        "images": len(recorded),
        "calls_per_image": median(len(row.calls) for row in recorded),
        "megabytes_in_per_image": round(median(map(_megabytes_in, recorded)), 2),
    }


def _paired(seconds: Mapping[str, Sequence[float]], of: str, to: str) -> float:
    return median(one / other for one, other in zip(seconds[of], seconds[to], strict=True))


def _megabytes_in(row: Recorded) -> float:
    return sum(array.nbytes for call in row.calls for array in call.inputs.values()) / 1e6
