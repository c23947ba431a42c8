"""Files that say which tags an image has: a CSV for all of them, or a small file beside each."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

TAG_COLUMNS = ("file", "tags")


class TagFileError(ValueError):
    """A file of tags that cannot be used; ``field`` is the part of it that is at fault."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class TagRow:
    """One row of the CSV: its number as a spreadsheet shows it, the image's path with `/`, and its tags."""

    number: int
    file: str
    tags: tuple[str, ...]


def read_tag_table(path: Path) -> tuple[TagRow, ...]:
    """Return the rows of a CSV with the columns `file` and `tags`; further columns are ignored.

    Raises:
        TagFileError: the file is no CSV in UTF-8, lacks a column or has a row with more fields than columns.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            absent = [name for name in TAG_COLUMNS if name not in (reader.fieldnames or ())]
            if absent:
                raise TagFileError(
                    absent[0],
                    f"{path} lacks the column {absent[0]!r}: its first line must name the columns file and tags",
                )
            rows = list(enumerate(reader, start=2))
            spilled = next((number for number, row in rows if None in row), None)
            if spilled is not None:
                raise TagFileError(
                    "tags",
                    f"{path}, row {spilled}: has more fields than the first line names: put tags that are separated by "
                    "commas in quotes, or separate them by ;",
                )
            return tuple(
                TagRow(number, str(PurePosixPath((row["file"] or "").strip())), split_tags(row["tags"] or ""))
                for number, row in rows
            )
    except (UnicodeDecodeError, csv.Error) as error:
        raise TagFileError("csv", f"{path} cannot be read as a CSV in UTF-8 ({error})") from error


def joined_rows(rows: Iterable[TagRow]) -> dict[str, tuple[str, ...]]:
    """Return tags by file; those of several rows of one file together."""
    joined: dict[str, tuple[str, ...]] = {}
    for row in rows:
        joined[row.file] = tuple(dict.fromkeys((*joined.get(row.file, ()), *row.tags)))
    return joined


def sidecar_of(image: Path) -> Path | None:
    """Return the file with the tags of `x.jpg`: `x.txt` or `x.json` beside it."""
    return next((path for suffix in (".txt", ".json") if (path := image.with_suffix(suffix)).is_file()), None)


def read_sidecar(path: Path) -> tuple[str, ...]:
    """Return the tags of a text file, of a JSON list, or of the list `tags` of a JSON object.

    Raises:
        TagFileError: no JSON, or no list of names in it.
    """
    # Bytes that are no text become a tag that nothing knows, so that this one image is reported as such.
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    return split_tags(text) if path.suffix == ".txt" else _tags_of_json(text)


def split_tags(text: str) -> tuple[str, ...]:
    """Return the tags of a text, separated by commas, semicolons or line ends; doubles and empty ones dropped."""
    return _distinct(re.split(r"[,;\n]", text))


def _tags_of_json(text: str) -> tuple[str, ...]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise TagFileError("json", f"is not JSON ({error})") from error
    tags = document.get("tags") if isinstance(document, dict) else document
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise TagFileError("tags", "must be a list of names")
    return _distinct(tags)


def _distinct(parts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(tag for part in parts if (tag := part.strip())))
