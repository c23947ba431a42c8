"""`python -m tests.bench.segmenter.graphs BUNDLE`: CPU seconds of one encode, of 64 prompts, and of a whole image.

The graphs run on one thread, whose CPU seconds say the same on a busy machine. The image goes the whole way of the
service, every tag to proposals, on all cores.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from models.bundle import SAM_GRAPHS
from models.bundle_files.manifest import load_bundle
from models.image import decode_file
from models.prompting.prompts import grid_points, point_prompts, split_prompts
from service.inference.open_pipeline import create_pipeline
from service.settings import load_settings
from training.data.tagged import TaggedImage
from training.proposals.graph_runner import GraphRunner
from weaksam.files.atomic import write_text
from weaksam.schemas import DetectOptions

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
    report["one_image"] = asyncio.run(_one_image(folder, image))
    text = json.dumps(report, indent=1)
    print(text)
    if out is not None:
        write_text(out, f"{text}\n")


async def _one_image(folder: Path, image: Path) -> dict[str, Any]:
    """Return seconds and prompts of one image for two tags, after another run of it; nothing is cached."""
    pipeline = create_pipeline(load_settings(bundle=folder, cache_bytes=0, deadline_s=3600))
    decoded, tags, options = decode_file(image), pipeline.bundle.labels.names[:2], DetectOptions(effort="full")
    await pipeline.detect(decoded, tags, options)
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    result = await pipeline.detect(decoded, tags, options)
    spent_s, spent_cpu_s = time.perf_counter() - started_s, time.process_time() - started_cpu_s
    await pipeline.aclose()
    return {"wall_s": round(spent_s, 2), "cpu_s": round(spent_cpu_s, 2), "prompts": result.prompts_asked}


def _cpu_s(work: Callable[[], object]) -> float:
    started_s = time.process_time()
    work()
    return round(time.process_time() - started_s, 2)


if __name__ == "__main__":
    typer.run(main)
