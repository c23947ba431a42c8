"""`weaksam evaluate-labels`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from training.evaluation.evaluate_labels import evaluate_labels as measure
from weaksam.cli.evaluation.options import JsonOption, SplitOption
from weaksam.files.atomic import write_json

_FIGURES = {"precision": "labels that are right", "recall": "objects found", "ap50": "AP50", "mask_ap50": "mask AP50"}


def evaluate_labels(
    labelled: Annotated[Path, typer.Argument(help="Folder that `weaksam label` or `weaksam review` wrote.")],
    data: Annotated[
        Path,
        typer.Option(help="The same images with true boxes, in any layout that `weaksam data check` reads."),
    ],
    split: SplitOption = "test",
    reviewed: Annotated[
        Path | None, typer.Option(help="Folder that `weaksam review` wrote: measure the run with its corrections.")
    ] = None,
    json_out: JsonOption = None,
) -> None:
    """Measure labels on disk against true boxes of the same images, the worst class first."""
    report = measure(labelled, data, split, reviewed)
    if json_out is not None:
        write_json(json_out, report)
    console = Console(markup=False, highlight=False, soft_wrap=True)
    console.print(_table(report))
    console.print("A label is right if its box has an IoU of 0.5 or more with a true object of its class.")
    if left_out := report["images_without_truth"]:
        console.print(f"Labelled images that {report['data']} does not have, not measured: {left_out}.")


def _table(report: dict[str, Any]) -> Table:
    names = [name for name in _FIGURES if report[name] is not None]
    sizes = f"{report['images']} images, {report['objects']} objects, {report['labels']} labels"
    table = Table("class", *map(_FIGURES.__getitem__, names), title=f"{report['data']}: {sizes}")
    table.add_row("all", *(_cell(report[name]) for name in names), end_section=True)
    for label, row in sorted(report["per_class"].items(), key=lambda item: (item[1]["recall"] or 0.0, item[0])):
        table.add_row(label, *(_cell(row.get(name)) for name in names))
    return table


def _cell(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.2f}"
