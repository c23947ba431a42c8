"""Other names of labels, from a table that people edit."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from models.labels import LabelSet
from weaksam.errors import UserError
from weaksam.files.csv_rows import csv_rows

COLUMNS = ("label", "alias")


def with_aliases(labels: LabelSet, table: Path) -> LabelSet:
    """Return the labels with more names, from a CSV with the columns `label` and `alias`; others are ignored.

    `csv_rows` says how the file may be written. Rows without an alias say nothing.

    Raises:
        UserError: the file is no such CSV, a row names no label, or two labels would share a name.
    """
    added: dict[str, list[str]] = {}
    for number, (label, alias) in _rows(table):
        index = labels.index(label)
        if index is None:
            nearest = ", ".join(labels.nearest(label))
            raise UserError(f"{table}, row {number}: there is no label {label!r}: write one like {nearest}")
        added.setdefault(labels.names[index], []).append(alias)
    return LabelSet(
        tuple(
            replace(label, aliases=tuple(dict.fromkeys((*label.aliases, *added.get(label.name, ())))))
            for label in labels
        )
    )


def _rows(table: Path) -> list[tuple[int, tuple[str, str]]]:
    """Return label and alias of each row that has an alias, with the row's number in the file."""
    try:
        names, rows = csv_rows(table.read_bytes(), COLUMNS)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{table} cannot be read as a CSV in UTF-8 ({error}): save it as CSV UTF-8") from error
    except OSError as error:
        raise UserError(
            f"{table} cannot be read ({error.strerror}): give a CSV with the columns label, alias"
        ) from error
    absent = [column for column in COLUMNS if column not in names]
    if absent:
        raise UserError(f"{table} lacks the column {absent[0]!r}: its first line must name the columns label, alias")
    fields = [(number, dict(zip(names, map(str.strip, line), strict=False))) for number, line in rows]
    return [(number, (row.get("label", ""), row["alias"])) for number, row in fields if row.get("alias")]
