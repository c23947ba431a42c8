"""What a repeat of an image costs: with other tags its networks must not run again."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from rich.progress import track

from models.bundle_files.manifest import load_bundle
from tests.bench.images import draw_scenes
from tests.bench.serving.server import post_detect, read_counters, served

WARM_UP = 1
ENCODERS = ("cam", "sam_encoder")


def measure_repeat(bundle_dir: Path, threads: int, count: int) -> dict[str, Any]:
    """Send each of `count` images three times: with some tags, with others, with these once more."""
    names = load_bundle(bundle_dir).labels.names
    encodes = dict.fromkeys(ENCODERS, 0.0)
    seconds: list[tuple[float, float, float]] = []
    with served(bundle_dir, threads) as client:
        for index, sample in enumerate(track(draw_scenes(WARM_UP + count), "repeat")):
            others = tuple(name for name in names if name not in sample.tags)[: len(sample.tags)]
            first_s, _ = post_detect(client, sample, sample.tags)
            before = read_counters(client)
            other_s, _ = post_detect(client, sample, others)
            after = read_counters(client)
            same_s, _ = post_detect(client, sample, others)
            if index >= WARM_UP:
                seconds.append((first_s, other_s, same_s))
                encodes = {name: encodes[name] + after[name] - before[name] for name in ENCODERS}
    return {
        "repeat_encodes": {name: int(runs) for name, runs in encodes.items()},
        "other_tags_time_ratio": round(median(other / first for first, other, _ in seconds), 3),
        "same_tags_time_ratio": round(median(same / first for first, _, same in seconds), 3),
        "images": len(seconds),
    }
