"""How far a labelling run is: a bar on a terminal, elsewhere a line a minute."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from weaksam.labelling.run import OnDone
from weaksam.labelling.worklist import Failure

LINE_INTERVAL_S = 60.0


@contextmanager
def progress(total: int, interval_s: float = LINE_INTERVAL_S) -> Iterator[OnDone]:
    """Show progress on stderr and yield what is to be called after each image.

    Args:
        total: number of images.
        interval_s: from line to line without a terminal, such as in a log.
    """
    console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    with _bar(console, total) if console.is_terminal else _lines(console, total, interval_s) as on_done:
        yield on_done


@contextmanager
def _bar(console: Console, total: int) -> Iterator[OnDone]:
    columns = (
        TextColumn("labelling"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[failed]} failed"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=total, failed=0)
        failed = 0

        def on_done(failure: Failure | None) -> None:
            nonlocal failed
            failed += failure is not None
            bar.update(task, advance=1, failed=failed)

        yield on_done


@contextmanager
def _lines(console: Console, total: int, interval_s: float) -> Iterator[OnDone]:
    done = failed = 0
    ended = threading.Event()

    def on_done(failure: Failure | None) -> None:
        nonlocal done, failed
        done, failed = done + 1, failed + (failure is not None)

    def report() -> None:
        # A thread: the line comes as well while nothing gets done.
        before = 0
        while not ended.wait(interval_s):
            per_minute = 60 / interval_s * (done - before)
            console.print(f"{done} of {total} images, {failed} failed, {per_minute:.0f} a minute")
            before = done

    reporter = threading.Thread(target=report, name="progress", daemon=True)
    reporter.start()
    try:
        yield on_done
    finally:
        ended.set()
        reporter.join()
