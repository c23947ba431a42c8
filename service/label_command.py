"""`weaksam label`: the command line of `service.label`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from service.client import ClientError, RetryPolicy, WeakSamClient
from service.label import LabelJob, LabelSummary, OnDone, label_folder
from service.label_tags import Failure, Worklist, worklist_from_csv, worklist_from_names

# A batch can wait: a server that restarts or is busy with others costs time, not results.
BATCH_RETRY = RetryPolicy(attempts=10)
INTERRUPTED_STATUS = 130


def label(
    folder: Annotated[Path, typer.Argument(help="Folder of pictures, with all folders below it.")],
    out: Annotated[Path, typer.Option(help="Folder for the journal and the results; the same one resumes a run.")],
    tags: Annotated[
        Path | None, typer.Option(help="CSV with the columns file (path below the folder) and tags.")
    ] = None,
    tags_from: Annotated[
        Literal["folder", "sidecar"] | None,
        typer.Option(help="Tags from the first folder's name, or from a .txt or .json file beside each picture."),
    ] = None,
    server: Annotated[str, typer.Option(help="Address of the service.")] = "http://127.0.0.1:8000",
    concurrency: Annotated[int, typer.Option(min=1, help="Most requests at once; fewer while the server is busy.")] = 4,
    timeout_s: Annotated[float, typer.Option(min=0.001, help="Longest wait for one answer, in seconds.")] = 60.0,
    min_score: Annotated[
        float | None, typer.Option(min=0, max=1, help="Least score of a detection; default: calibrated per class.")
    ] = None,
    unknown_tags: Annotated[
        Literal["error", "skip"], typer.Option(help="A tag that is no label fails its picture, or is left out.")
    ] = "error",
    max_error_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Share of failed pictures above which the exit status is 1.")
    ] = 0.0,
) -> None:
    """Label a folder of tagged pictures through a server. A killed run goes on where it was: give the same command."""
    job = LabelJob(folder, out, _worklist(folder, tags, tags_from), min_score, unknown_tags)
    console = Console()
    try:
        summary = asyncio.run(_run(job, server, concurrency, timeout_s))
    except ClientError as error:
        raise ValueError(str(error)) from error
    except KeyboardInterrupt:
        console.print("Stopped. The same command goes on from here.")
        raise typer.Exit(INTERRUPTED_STATUS) from None
    _print_summary(console, summary, out)
    raise typer.Exit(1 if summary.error_rate > max_error_rate else 0)


def _worklist(folder: Path, tags: Path | None, tags_from: Literal["folder", "sidecar"] | None) -> Worklist:
    if tags is not None and tags_from is None:
        return worklist_from_csv(folder, tags)
    if tags is None and tags_from is not None:
        return worklist_from_names(folder, tags_from)
    raise ValueError("give either --tags FILE.csv or --tags-from folder|sidecar")


async def _run(job: LabelJob, server: str, concurrency: int, timeout_s: float) -> LabelSummary:
    client = WeakSamClient(server, timeout_s=timeout_s, max_concurrent=concurrency, retry=BATCH_RETRY)
    async with client:
        with _progress(len(job.worklist.tags)) as on_done:
            return await label_folder(job, client, workers=concurrency, on_done=on_done)


@contextmanager
def _progress(total: int) -> Iterator[OnDone]:
    columns = (
        TextColumn("labelling"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[failed]} failed"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total, failed=0)
        failed = 0

        def on_done(failure: Failure | None) -> None:
            nonlocal failed
            failed += failure is not None
            progress.update(task, advance=1, failed=failed)

        yield on_done


def _print_summary(console: Console, summary: LabelSummary, out: Path) -> None:
    failed = len(summary.failures)
    console.print(
        f"{summary.labelled} pictures labelled ({summary.resumed} in earlier runs), "
        f"{summary.detections} detections, {failed} failed.",
        soft_wrap=True,
    )
    names = ["results.json", "dataset.json", "ledger.csv", *(["failures.csv"] if failed else [])]
    console.print(f"In {out}: {', '.join(names)}", soft_wrap=True)
