"""Other names of labels, from a table that people edit."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

from models.labels import LabelSet
from weaksam.errors import UserError
from weaksam.files.text_files import decoded

COLUMNS = ("label", "alias")
DELIMITERS = ",;\t"


def with_aliases(labels: LabelSet, table: Path) -> LabelSet:
    """Return the labels with more names, from a CSV with the columns `label` and `alias`; others are ignored.

    Fields are separated by commas, or by semicolons or tabs if the first line is. Rows without an alias say nothing.

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
        text = decoded(table.read_bytes())
        first = text.partition("\n")[0]
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, delimiter=max(DELIMITERS, key=first.count))
        names = {name.strip().lower(): name for name in reader.fieldnames or ()}
        absent = [column for column in COLUMNS if column not in names]
        if absent:
            raise UserError(
                f"{table} lacks the column {absent[0]!r}: its first line must name the columns label, alias"
            )
        rows = [(reader.line_num, [(row[names[column]] or "").strip() for column in COLUMNS]) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{table} cannot be read as a CSV in UTF-8 ({error}): save it as CSV UTF-8") from error
    except OSError as error:
        raise UserError(
            f"{table} cannot be read ({error.strerror}): give a CSV with the columns label, alias"
        ) from error
    return [(number, (label, alias)) for number, (label, alias) in rows if alias]
