"""Options that several of these commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

BundleOption = Annotated[Path, typer.Option("--bundle", help="Folder of the bundle.")]
SplitOption = Annotated[
    str, typer.Option("--split", help="Split to read: train, val, test, or fit, which is train without val.")
]
JsonOption = Annotated[Path | None, typer.Option("--json", dir_okay=False, help="File for the report, as JSON.")]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, help="Measure only this many images, the first ones.")
]
ThreadsOption = Annotated[int, typer.Option("--threads", min=0, help="Threads within one operator; 0 is one per core.")]
DeviceOption = Annotated[
    Literal["cpu", "cuda"], typer.Option("--device", help="cpu, or cuda with the package onnxruntime-gpu.")
]
AnswersOption = Annotated[
    Path | None,
    typer.Option(
        "--answers",
        help="Folder for each image's results, of one bundle and data set only: a killed run resumes from it.",
    ),
]
