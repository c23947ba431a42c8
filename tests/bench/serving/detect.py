"""How much the service adds: `POST /detect` at one client against a bare loop over the same onnxruntime calls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from rich.progress import track

from models.bundle_files.manifest import load_bundle
from models.image import decode_image
from service.backends.ort import OrtBackend
from service.inference.open_pipeline import create_pipeline
from service.settings import load_settings
from tests.bench.bare_loop import BareLoop, Call, RecordingBackend
from tests.bench.images import Sample, draw_scenes
from tests.bench.serving.server import PROMPTS_METRIC, post_detect, read_counters, served
from weaksam.schemas import DetectOptions

WARM_UP = 3
# onnxruntime's threads spin for a while after a run; without a pause those of one side would slow the other's start.
SETTLE_S = 0.05


@dataclass(frozen=True)
class Recorded:
    """An image, the calls that the pipeline makes for it, and the prompts among them, without padding."""

    sample: Sample
    calls: list[Call]
    prompts: float


@dataclass(frozen=True)
class Pair:
    """One image's seconds through the service and through the bare loop, and the service's own timings."""

    served_s: float
    bare_s: float
    timing_ms: dict[str, float]


def measure_detect(bundle_dir: Path, threads: int, count: int) -> dict[str, Any]:
    """Send `count` different images, each once, and make the calls of each in the bare loop, in turns first.

    Raises:
        AssertionError: the server did other work than was recorded.
    """
    backend = RecordingBackend(OrtBackend(load_bundle(bundle_dir), intra_op_threads=threads))
    recorded = asyncio.run(record(bundle_dir, backend, draw_scenes(WARM_UP + count)))
    bare = BareLoop(load_bundle(bundle_dir), threads)
    with served(bundle_dir, threads) as client:
        for row in recorded[:WARM_UP]:
            _measure_pair(client, bare, row, served_first=True)
        before = read_counters(client)
        measured = enumerate(track(recorded[WARM_UP:], "detect"))
        pairs = [_measure_pair(client, bare, row, served_first=bool(index % 2)) for index, row in measured]
        prompts = read_counters(client)["prompts"] - before["prompts"]
    expected = sum(row.prompts for row in recorded[WARM_UP:])
    assert prompts == expected, f"the server decoded {prompts} prompts, the recorded calls hold {expected}"
    return _summary(pairs, recorded[WARM_UP:])


async def record(bundle_dir: Path, backend: RecordingBackend, samples: Sequence[Sample]) -> list[Recorded]:
    """Return what the pipeline asks of a backend for each image, and close the backend."""
    pipeline = create_pipeline(load_settings(bundle=bundle_dir), backend)
    recorded, prompts_before = [], 0.0
    for sample in track(samples, "record calls"):
        backend.calls = []
        await pipeline.detect(decode_image(sample.data), sample.tags, DetectOptions(unknown_tags="skip"))
        prompts = pipeline.metrics.registry.get_sample_value(PROMPTS_METRIC) or 0.0
        recorded.append(Recorded(sample, backend.calls, prompts - prompts_before))
        prompts_before = prompts
    await backend.aclose()
    return recorded


def _measure_pair(client: httpx.Client, bare: BareLoop, row: Recorded, *, served_first: bool) -> Pair:
    early_s = None if served_first else _bare_s(bare, row)
    time.sleep(SETTLE_S)
    served_s, result = post_detect(client, row.sample, row.sample.tags)
    return Pair(served_s, _bare_s(bare, row) if early_s is None else early_s, result["timing_ms"])


def _bare_s(bare: BareLoop, row: Recorded) -> float:
    time.sleep(SETTLE_S)
    return bare.seconds(row.calls)


def _summary(pairs: Sequence[Pair], recorded: Sequence[Recorded]) -> dict[str, Any]:
    served_s, bare_s = median(pair.served_s for pair in pairs), median(pair.bare_s for pair in pairs)
    stages = dict.fromkeys(stage for pair in pairs for stage in pair.timing_ms)
    return {
        "detect_p50_ratio": round(served_s / bare_s, 3),
        "detect_p50_ms": round(1000 * served_s, 2),
        "bare_p50_ms": round(1000 * bare_s, 2),
        "median_of_ratios": round(median(pair.served_s / pair.bare_s for pair in pairs), 3),
        "images": len(pairs),
        "calls_per_image": median(len(row.calls) for row in recorded),
        "prompts_per_image": median(row.prompts for row in recorded),
        "stage_p50_ms": {stage: round(median(pair.timing_ms.get(stage, 0.0) for pair in pairs), 3) for stage in stages},
    }
