"""`weaksam weights`: published weights that a training or an export may begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from deploy.weights.published import WEIGHTS, find_weights, pull_weights

weights_app = typer.Typer(help="List published weights, download them.", no_args_is_help=True)

FolderOption = Annotated[Path, typer.Option("--out", help="Folder of the files.")]
DEFAULT_FOLDER = Path("weights")


@weights_app.command("list")
def list_command(out: FolderOption = DEFAULT_FOLDER) -> None:
    """Show what can be pulled, and what is there already."""
    table = Table("name", "file", "size", "licence", "sha256", f"in {out}")
    for weights in WEIGHTS:
        there = "yes" if (out / weights.file_name).exists() else ""
        size = f"{weights.size_bytes / 1e6:.0f} MB"
        table.add_row(weights.name, weights.file_name, size, weights.licence, weights.sha256[:12], there)
    Console(markup=False).print(table)


@weights_app.command()
def pull(
    name: Annotated[str, typer.Argument(help="One of `weaksam weights list`.")],
    out: FolderOption = DEFAULT_FOLDER,
    url: Annotated[str | None, typer.Option(help="Another address of the same file.")] = None,
) -> None:
    """Download published weights; a run that was cut off goes on where it was, and size and digest are checked."""
    weights = find_weights(name)
    columns = (
        TextColumn(weights.file_name),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True, markup=False)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=weights.size_bytes)
        path = pull_weights(weights, out, url=url, on_bytes=lambda size: progress.update(task, completed=size))
    typer.echo(f"{path} is whole, sha256 {weights.sha256}")
