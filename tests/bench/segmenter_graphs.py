"""`python -m tests.bench.segmenter_graphs BUNDLE`: CPU seconds of one encode and of 64 prompts, on one thread.

CPU seconds of one thread say the same on a busy machine; two free cores take about half of them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from models.bundle import SAM_GRAPHS, load_bundle
from models.image import decode_file
from models.prompts import grid_points, point_prompts, split_prompts
from training.data.tagged import TaggedImage
from training.proposals.graph_runner import GraphRunner
from weaksam.files.atomic import write_text

GRID_SIDE = 8  # 64 prompts
OUTPUTS = ("boxes", "iou", "stability")


def main(
    folder: Annotated[Path, typer.Argument(help="Folder of a bundle.")],
    image: Annotated[Path, typer.Option(help="Any photograph.")],
    out: Annotated[Path | None, typer.Option(help="File for the figures.")] = None,
) -> None:
    """Measure the segmenter of a bundle."""
    bundle = load_bundle(folder, SAM_GRAPHS)
    runner = GraphRunner(bundle, threads=1)
    side_px = bundle.side_px
    prompts = point_prompts(grid_points(GRID_SIDE, (side_px, side_px)))
    runs = split_prompts(prompts, bundle.prompts.prompt_buckets["onnxruntime"])
    tagged = TaggedImage("image", image, decode_file(image).size_hw, ())
    runner.decode(tagged, runs[0], OUTPUTS)  # opens the graphs
    square = runner.letterboxed(tagged, "sam_encoder")[1]
    report: dict[str, Any] = {
        "bundle": bundle.name,
        "side_px": side_px,
        "encode_cpu_s": _cpu_s(lambda: runner.run("sam_encoder", {"image": square}, bundle.decoder_features)),
        "64_prompts_cpu_s": _cpu_s(lambda: [runner.decode(tagged, run, OUTPUTS) for run in runs]),
        "prompts_of_a_run": len(runs[0]),
        "file_mb": {name: round(bundle.path(name).stat().st_size / 1e6, 1) for name in SAM_GRAPHS},
        "max_abs_difference": {name: bundle.graphs[name].max_abs_difference for name in SAM_GRAPHS},
    }
    text = json.dumps(report, indent=1)
    print(text)
    if out is not None:
        write_text(out, f"{text}\n")


def _cpu_s(work: Callable[[], object]) -> float:
    started_s = time.process_time()
    work()
    return round(time.process_time() - started_s, 2)


if __name__ == "__main__":
    typer.run(main)
