"""`weaksam evaluate-proposals`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from models.bundle import DEFAULT_BUNDLE
from training.evaluation.proposal_recall import SearchMode
from training.evaluation.proposal_recall import evaluate_proposals as measure
from weaksam.cli.evaluation.options import JsonOption, SplitOption, ThreadsOption
from weaksam.files.atomic import write_json


def evaluate_proposals(
    data: Annotated[Path, typer.Option(help="Data set with boxes, in any layout that `weaksam data check` reads.")],
    bundle: Annotated[
        Path, typer.Option(help="Folder of the bundle.", show_default="the one installed")
    ] = DEFAULT_BUNDLE,
    split: SplitOption = "test",
    limit: Annotated[int | None, typer.Option(min=1, help="Measure only this many images, evenly spread.")] = None,
    selective_search: Annotated[
        Path | None,
        typer.Option(help="Python of an environment with opencv-contrib-python-headless, to compare with."),
    ] = None,
    search_mode: Annotated[SearchMode, typer.Option(help="How selective search is run.")] = "fast",
    threads: ThreadsOption = 0,
    json_out: JsonOption = None,
) -> None:
    """Measure how many true boxes the proposals find: prompts from tags, prompt map or grid, and both."""
    report = measure(bundle, data, split, limit, threads, selective_search, search_mode)
    if json_out is not None:
        write_json(json_out, report)
    title = f"{report['data']} {split}: {report['images']} images, {report['objects']} objects"
    ious = list(report["ways"]["both"]["recall"])
    table = Table("prompts", "per image", *(f"recall at {iou}" for iou in ious), title=title)
    for way, row in report["ways"].items():
        table.add_row(way, f"{row['proposals_per_image']:g}", *(f"{row['recall'][iou]:.3f}" for iou in ious))
    Console(markup=False).print(table)
