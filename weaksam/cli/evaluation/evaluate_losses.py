"""`weaksam evaluate-losses`."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console

from training.evaluation.evaluate_losses import evaluate_losses as measure
from training.evaluation.loss_sentences import loss_sentences
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


def evaluate_losses(
    bundle: BundleOption,
    data: Annotated[
        Path, typer.Option(help="Data set, best with boxes, in any layout that `weaksam data check` reads.")
    ],
    split: SplitOption = "test",
    pgt: Annotated[
        Path | None, typer.Option(help="Folder of the finished `weaksam train pgt`, to count what its rule drops.")
    ] = None,
    json_out: JsonOption = None,
    limit: LimitOption = None,
    threads: ThreadsOption = 0,
    device: DeviceOption = "cpu",
    answers: AnswersOption = None,
) -> None:
    """Say where objects are lost: no proposal, tag not seen, pointed at elsewhere, another box chosen, and so on."""
    with TemporaryDirectory() as passing:
        report = measure(bundle, data, split, answers or Path(passing), pgt, limit, threads, device)
    if json_out is not None:
        write_json(json_out, report)
    unit = "objects" if "objects" in report else "tags"
    console = Console(markup=False, highlight=False, soft_wrap=True)
    console.print(f"{report['data']} {split}: {report['images']} images, {report[unit]} {unit}")
    for sentence in loss_sentences(report):
        console.print(sentence)
