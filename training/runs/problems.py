"""Print what is wrong with a run's data sets."""

from __future__ import annotations

from collections.abc import Iterable

from training.data.tagged import DataProblem
from training.runs.console import console
from training.runs.ranks import is_first_rank


def print_problems(problems: Iterable[DataProblem], notes: Iterable[str] = ()) -> None:
    """Print one line for each problem and note; ranks other than the first are silent."""
    if not is_first_rank():
        return
    for problem in problems:
        console.print(f"{problem.file}: {problem.field}: {problem.message}", style="yellow")
    for note in notes:
        console.print(f"Note: {note}", style="yellow", highlight=False)
