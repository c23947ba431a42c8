"""The two lists that a person reads after a labelling run: what failed, and what became of each tag."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from weaksam.files.atomic import replacing
from weaksam.labelling.worklist import Failure
from weaksam.schemas import DetectResult


def write_failures(failures: Iterable[Failure], path: Path) -> None:
    """Write a CSV with one row for each image without a result: image, code, message."""
    rows = sorted((failure.image, failure.code, failure.message) for failure in failures)
    _write_csv(path, ("image", "code", "message"), rows)


def write_ledger(results: Iterable[tuple[str, DetectResult]], path: Path) -> None:
    """Write a CSV with one row for each image and tag: what became of it, and the stage that lost it."""
    columns = ("tag", "label", "status", "count", "stage", "best_score")
    rows = ((image, *(getattr(row, column) for column in columns)) for image, result in results for row in result.tags)
    _write_csv(path, ("image", *columns), rows)


def _write_csv(path: Path, header: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
    with replacing(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
