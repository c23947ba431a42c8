"""`weaksam evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from training.evaluation.evaluate import evaluate as evaluate_bundle
from training.metrics.plain_names import plain_name
from weaksam.cli.evaluation.options import (
    AnswersOption,
    BundleOption,
    DeviceOption,
    JsonOption,
    LimitOption,
    SplitOption,
    ThreadsOption,
)
from weaksam.files.atomic import write_json

_OVERALL = (
    *("corloc", "naive_corloc", "ap50_tagged", "naive_ap50_tagged", "ap50", "mask_ap50"),
    *("returned_precision_tagged", "returned_recall_tagged", "returned_precision", "returned_recall"),
    "proposals_per_image",
)


def evaluate(
    bundle: BundleOption,
    data: Annotated[
        Path, typer.Option("--data", help="Data set with boxes, in any layout that `weaksam data check` reads.")
    ],
    split: SplitOption = "test",
    json_out: JsonOption = None,
    limit: LimitOption = None,
    threads: ThreadsOption = 0,
    device: DeviceOption = "cpu",
    answers: AnswersOption = None,
    zoom: Annotated[
        bool, typer.Option("--zoom", help="Look at small objects again, enlarged, for their masks.")
    ] = False,
) -> None:
    """Measure a bundle on annotated images, through the pipeline that serves it."""
    report = evaluate_bundle(bundle, data, split, limit, threads, answers, device, zoom=zoom)
    if json_out is not None:
        write_json(json_out, report)
    console = Console(markup=False)
    console.print(_table(report))
    if report["images_without_boxes"]:
        console.print(f"{report['images_without_boxes']} images are left out: not all of their tags have boxes.")


def _table(report: dict[str, Any]) -> Table:
    table = Table("measure", "value", title=f"{report['data']}: {report['images']} images, {report['objects']} objects")
    for name in _OVERALL:
        if report.get(name) is not None:
            table.add_row(plain_name(name), f"{report[name]:g}")
    for threshold, share in report["proposal_recall"].items():
        table.add_row(plain_name(f"proposal_recall at {threshold}"), f"{share:g}")
    return table
