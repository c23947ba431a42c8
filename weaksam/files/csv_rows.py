"""Rows of a CSV: read as people's spreadsheets save it, and written so that every text is read back."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import TextIO

from weaksam.files.text_files import decoded, lines_of

DELIMITERS = (",", ";", "\t")
EMPTY = "".join(DELIMITERS) + ' "'
# What Excel reads as the separator of the lines below, and does not show.
_SEPARATOR_LINE = re.compile(r"\A\s*sep=[,;\t]\s*?\n")


def csv_rows(data: bytes, columns: Sequence[str]) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the names of a file's columns in small letters, and its rows with the number that a spreadsheet shows.

    Fields are separated by commas, or by semicolons or tabs if the first line then names the `columns`. Empty lines,
    and Excel's `sep=;` above it, are no first line.

    Raises:
        UnicodeDecodeError: it is neither in UTF-8 nor in UTF-16 with its mark.
        csv.Error: a quoted field does not end.
    """
    text = _SEPARATOR_LINE.sub("", decoded(data))
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=_delimiter(text, columns))
    lines = enumerate(reader, start=1)
    names = next(([name.strip().lower() for name in line] for _, line in lines if any(line)), [])
    return names, [(number, line) for number, line in lines if line]


def write_csv_rows(file: TextIO, rows: Iterable[Iterable[object]]) -> None:
    """Write rows that end in a line feed; a cell that holds any line end is quoted."""
    csv.writer(_LineFeeds(file)).writerows(rows)


class _LineFeeds:
    """What `csv.writer` writes to: told to end rows by a line feed, it would leave a carriage return unquoted."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, row: str) -> None:
        """Write one row."""
        self._file.write(row.removesuffix("\r\n") + "\n")


def _delimiter(text: str, columns: Sequence[str]) -> str:
    first = next((line.lower() for line in lines_of(text) if line.strip(EMPTY)), "")
    named = (mark for mark in DELIMITERS if set(columns) <= {name.strip(' "') for name in first.split(mark)})
    return next(named, ",")
