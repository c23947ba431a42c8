"""The two lists that a person reads after a labelling run: what failed, and what became of each tag."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from weaksam.errors import UserError
from weaksam.files.atomic import replacing
from weaksam.files.csv_cells import path_cell, path_of, text_cell, text_of
from weaksam.files.csv_rows import csv_rows, write_csv_rows
from weaksam.labelling.doubt import Urgency
from weaksam.labelling.worklist import Failure
from weaksam.schemas import DetectResult

WriteRows = Callable[[Iterable[tuple[Any, ...]]], None]


# Excel takes a CSV for UTF-8 only if it begins with this.
ENCODING = "utf-8-sig"
BYTE_ORDER_MARK = "\ufeff"
IMAGE = "image"  # the first column of both
FAILURE_COLUMNS = (IMAGE, "code", "message")
LEDGER_COLUMNS = ("tag", "label", "status", "count", "stage", "best_score")
REVIEW_COLUMNS = ("review", "review_reason")


def write_failures(failures: Iterable[Failure], path: Path) -> None:
    """Write a CSV with one row for each image without a result: image, code, message."""
    with _csv_file(path, FAILURE_COLUMNS) as write_rows:
        write_rows(sorted((failure.image, failure.code, failure.message) for failure in failures))


@contextmanager
def ledger_file(path: Path) -> Iterator[Callable[[str, DetectResult, Urgency], None]]:
    """Open a CSV with one row for each image and tag: what became of it, the stage that lost it, the image's review."""
    with _csv_file(path, (IMAGE, *LEDGER_COLUMNS, *REVIEW_COLUMNS)) as write_rows:

        def add(image: str, result: DetectResult, review: Urgency) -> None:
            write_rows(
                (image, *(getattr(row, column) for column in LEDGER_COLUMNS), review.score, review.reason)
                for row in result.tags
            )

        yield add


def read_rows(path: Path, needed: Sequence[str] = (IMAGE,)) -> list[dict[str, str]]:
    """Return the rows of one of these files by their columns, also if a spreadsheet has saved it.

    Args:
        path: of the file.
        needed: columns that it must have.

    Raises:
        UserError: it is no such table any more.
    """
    remedy = "give the command of that run again, which writes it anew"
    try:
        names, rows = csv_rows(path.read_bytes(), needed)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as a CSV in UTF-8 ({error}): {remedy}") from error
    absent = next((name for name in needed if name not in names), None)
    if absent is not None:
        raise UserError(f"{path} lacks the column {absent!r}: {remedy}")
    short = next((number for number, line in rows if len(line) < len(names)), None)
    if short is not None:
        raise UserError(f"{path}, row {short}: has fewer fields than the first line names: {remedy}")
    return [
        {name: path_of(cell) if name == IMAGE else text_of(cell) for name, cell in zip(names, line, strict=False)}
        for _, line in rows
    ]


@contextmanager
def _csv_file(path: Path, header: tuple[str, ...]) -> Iterator[WriteRows]:
    with replacing(path) as file:
        file.write(BYTE_ORDER_MARK)
        write_csv_rows(file, [header])
        yield lambda rows: write_csv_rows(file, ((path_cell(image), *map(_cell, others)) for image, *others in rows))


def _cell(value: object) -> object:
    return text_cell(value) if isinstance(value, str) else value
