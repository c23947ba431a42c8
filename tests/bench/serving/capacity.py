"""What an image costs a gateway by its own metrics: figures of the capacity formula in deployment.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families
from rich.progress import track

from tests.bench.images import draw_scenes
from tests.bench.serving.server import post_detect, served

WARM_UP = 2
CPU_SECONDS = "process_cpu_seconds_total"
STAGE_SECONDS = "weaksam_stage_seconds_sum"


def measure_capacity(bundle_dir: Path, threads: int, count: int) -> dict[str, Any]:
    """Send `count` different images one after the other and return the means for one of them."""
    samples = draw_scenes(WARM_UP + count)
    with served(bundle_dir, threads) as client:
        for sample in samples[:WARM_UP]:
            post_detect(client, sample, sample.tags)
        before = _read(client)
        for sample in track(samples[WARM_UP:], "capacity"):
            post_detect(client, sample, sample.tags)
        after = _read(client)
    mean = {name: (value - before.get(name, 0.0)) / count for name, value in after.items()}
    return {
        "cpu_ms": round(1000 * mean.pop(CPU_SECONDS), 1),
        "stage_ms": {name: round(1000 * seconds, 2) for name, seconds in mean.items()},
        "images": count,
    }


def _read(client: httpx.Client) -> dict[str, float]:
    """Return seconds so far: of processor time, and of each stage by its name."""
    seconds = {}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            if sample.name == CPU_SECONDS:
                seconds[CPU_SECONDS] = sample.value
            elif sample.name == STAGE_SECONDS:
                seconds[sample.labels["stage"]] = sample.value
    return seconds
