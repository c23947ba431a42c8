"""`python -m tests.bench`: every speed that the project claims, as ratios within one run, and a report as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import onnxruntime
import torch
import typer
from rich.console import Console

from models.bundle import DEFAULT_BUNDLE
from models.bundle_files.manifest import load_bundle
from tests.bench.images import draw_scenes, read_images
from tests.bench.report import tables
from tests.bench.segmenter.decoder_runs import measure_decoder_runs
from tests.bench.segmenter.proposals import measure_proposals
from tests.bench.serving.capacity import measure_capacity
from tests.bench.serving.clicks import measure_clicks
from tests.bench.serving.detect import measure_detect
from tests.bench.serving.overload import measure_overload
from tests.bench.serving.repeat import measure_repeat
from tests.bench.serving.throughput import measure_throughput
from tests.bench.serving.triton import measure_triton
from tests.support.triton.server import INSTALLED as TRITON_INSTALLED

REPOSITORY = Path(__file__).resolve().parents[2]
THROUGHPUT_ROUNDS = 5
CLICKING_CLIENTS = 20
FOD_A = REPOSITORY.parent / "shared" / "data" / "fod-a"


class Part(StrEnum):
    """A part that can be measured alone; its value names its section in the report."""

    DETECT = "detect"
    REPEAT = "repeat"
    CLICKS = "clicks"
    DECODER_RUNS = "decoder_runs"
    PROPOSALS = "proposals"
    CAPACITY = "capacity"
    OVERLOAD = "overload"
    THROUGHPUT = "throughput"
    TRITON = "triton"


def main(
    json_out: Annotated[Path, typer.Option("--json", help="Where to write the report.")] = Path("out/bench.json"),
    bundle: Annotated[Path, typer.Option(help="Bundle to serve.", show_default="the one installed")] = DEFAULT_BUNDLE,
    requests: Annotated[int, typer.Option(min=1, help="Different images sent to POST /detect.")] = 40,
    images: Annotated[int, typer.Option("--pictures", min=1, help="Images of each data set, for recall.")] = 40,
    timed: Annotated[
        int, typer.Option(min=1, help="Of these, so many are timed; the reference takes many seconds for each.")
    ] = 6,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of the decoder's table.")] = 10,
    data: Annotated[Path, typer.Option(help="Data set with boxes, measured too if it is there.")] = FOD_A,
    threads: Annotated[int, typer.Option(min=0, help="Threads within one operator; 0 is one per core.")] = 0,
    minutes: Annotated[
        float, typer.Option(min=0.1, help="Length of the overload, which is measured with --only.")
    ] = 10.0,
    clients: Annotated[int, typer.Option(min=1, help="Clients at once, for throughput.")] = 4,
    other: Annotated[
        list[str] | None,
        typer.Option(help="Command of another service for throughput, with {port} in place of its port; repeatable."),
    ] = None,
    only: Annotated[list[Part] | None, typer.Option(help="Measure this part; may be repeated.")] = None,
) -> None:
    """Measure, print tables and write the report."""
    if threads:
        torch.set_num_threads(threads)
    loaded = load_bundle(bundle)
    report: dict[str, Any] = {
        "bundle": {"name": loaded.name, "version": loaded.version, "digest": loaded.digest},
        "cpus": os.cpu_count(),
        "intra_op_threads": threads,
        "torch_threads": torch.get_num_threads(),
        "versions": {"onnxruntime": onnxruntime.__version__, "torch": torch.__version__},
    }
    parts: dict[Part, Callable[[], dict[str, Any]]] = {
        Part.DETECT: lambda: measure_detect(bundle, threads, requests),
        Part.REPEAT: lambda: measure_repeat(bundle, threads, max(1, requests // 4)),
        Part.CLICKS: lambda: measure_clicks(bundle, threads, requests, CLICKING_CLIENTS),
        Part.DECODER_RUNS: lambda: measure_decoder_runs(bundle, threads, rounds),
        Part.CAPACITY: lambda: measure_capacity(bundle, threads, requests),
        Part.OVERLOAD: lambda: measure_overload(bundle, threads, minutes),
        Part.THROUGHPUT: lambda: measure_throughput(bundle, data, other or (), clients, requests, THROUGHPUT_ROUNDS),
        Part.TRITON: lambda: measure_triton(bundle, threads, max(1, requests // 2)),
        Part.PROPOSALS: lambda: measure_proposals(bundle, threads, _data_sets(data, images), timed),
    }
    left_out = {Part.OVERLOAD} if TRITON_INSTALLED.is_file() else {Part.OVERLOAD, Part.TRITON}
    for part in only or (part for part in parts if part not in left_out):
        report[part.value] = parts[part]()
    json_out.parent.mkdir(parents=True, exist_ok=True)
    json_out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    Console().print(*tables(report), f"Written to {json_out}", sep="\n")


def _data_sets(data_dir: Path, count: int) -> dict[str, Any]:
    scenes = {"scenes": draw_scenes(count)}
    return scenes | {data_dir.name: read_images(data_dir, count)} if data_dir.is_dir() else scenes


if __name__ == "__main__":
    typer.run(main)
