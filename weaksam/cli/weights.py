"""`weaksam weights`: published weights that a training or an export may begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from deploy.weights.download import DEFAULT_FOLDER, address_in, pull_weights
from deploy.weights.published import WEIGHTS, find_weights
from weaksam.variables import WEIGHTS_URL_VARIABLE

weights_app = typer.Typer(
    help="List published weights, download them, measure them.", no_args_is_help=True, add_completion=False
)

NameArgument = Annotated[str, typer.Argument(help="One of `weaksam weights list`.")]
FolderOption = Annotated[Path, typer.Option("--out", help="Folder of the files.")]


@weights_app.command("list")
def list_command(out: FolderOption = DEFAULT_FOLDER) -> None:
    """Show what can be pulled, and what is there already."""
    table = Table()
    for header in ("name", "good for", "size", "licence", "checked by", "address", f"in {out}"):
        table.add_column(header, overflow="fold")
    for weights in WEIGHTS:
        there = "yes" if (out / weights.file_name).exists() else ""
        size = f"{weights.size_bytes / 1e6:.0f} MB" if weights.size_bytes else "not stated"
        table.add_row(weights.name, weights.good_for, size, weights.licence, weights.checked_by, weights.url, there)
    Console(markup=False).print(table)


@weights_app.command()
def pull(
    name: NameArgument,
    out: FolderOption = DEFAULT_FOLDER,
    url: Annotated[
        str | None, typer.Option(help="Another address of the same file, or its path on this machine.")
    ] = None,
    mirror: Annotated[
        str | None,
        typer.Option(
            envvar=WEIGHTS_URL_VARIABLE, help="Folder that holds published files, on a server or on this machine."
        ),
    ] = None,
) -> None:
    """Download published weights; a download that was cut off resumes, and the file is checked."""
    weights = find_weights(name)
    columns = (
        TextColumn(weights.file_name),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    source = url or (address_in(mirror, weights) if mirror else None)
    console = Console(stderr=True, markup=False)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=weights.size_bytes)
        path = pull_weights(weights, out, url=source, on_bytes=lambda size: progress.update(task, completed=size))
    typer.echo(f"{path} is whole, checked by {weights.checked_by}")


@weights_app.command()
def bench(
    name: NameArgument,
    side_px: Annotated[int | None, typer.Option(help="Side of the input.", show_default="as published")] = None,
) -> None:
    """Measure encoder, 64 prompts and memory on this machine's CPU, with random weights: nothing is downloaded."""
    from deploy.export.bench_sam import bench_sam

    measured = bench_sam(find_weights(name).kind, side_px)
    table = Table("measured", "value", title=f"{name}, random weights")
    for key, value in measured.items():
        table.add_row(key, f"{value:g}")
    Console(markup=False).print(table)
