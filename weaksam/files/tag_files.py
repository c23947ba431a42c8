"""Files that say which tags an image has: a CSV for all of them, or a small file beside each."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from weaksam.errors import UserError
from weaksam.files.csv_rows import csv_rows
from weaksam.files.path_checks import is_file
from weaksam.files.text_files import decoded, lines_of
from weaksam.tag_texts import distinct_tags, split_written_tags

TAG_COLUMNS = ("file", "tags")
BOXES = "boxes"
# A class number and four or more numbers on every line.
_YOLO_LINE = re.compile(r"\s*\d+(?:\s+[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?){4,}\s*")


class TagFileError(UserError):
    """A file of tags that cannot be used; ``field`` is the part of it that is at fault."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class TaggedFile:
    """One row of the CSV: its number as a spreadsheet shows it, the image's path as written, and its tags."""

    number: int
    file: str
    tags: tuple[str, ...]


def read_tag_table(path: Path) -> tuple[TaggedFile, ...]:
    """Return the rows of a CSV with the columns `file` and `tags`; several of `tags` are joined, others ignored.

    `csv_rows` says how the file may be written.

    Raises:
        TagFileError: the file is no CSV in UTF-8, lacks a column or has two of `file`, or has a row with more filled
            fields than columns or with tags and no file.
    """
    try:
        names, rows = csv_rows(path.read_bytes(), TAG_COLUMNS)
    except (UnicodeDecodeError, csv.Error) as error:
        raise TagFileError("csv", f"{path} cannot be read as a CSV in UTF-8 ({error}): save it as CSV UTF-8") from error
    absent = [name for name in TAG_COLUMNS if name not in names]
    if absent:
        raise TagFileError(
            absent[0], f"{path} lacks the column {absent[0]!r}: its first line must name the columns file and tags"
        )
    if names.count("file") > 1:
        raise TagFileError("file", f"{path} names the column 'file' twice: keep the one with the images' paths")
    spilled = next((number for number, line in rows if any(cell.strip() for cell in line[len(names) :])), None)
    if spilled is not None:
        raise TagFileError(
            "tags",
            f"{path}, row {spilled}: has more fields than the first line names: put tags that are separated by "
            "commas in quotes, or separate them by ;",
        )
    found = [_tag_row(number, names, line) for number, line in rows]
    nameless = next((row for row in found if not row.file and row.tags), None)
    if nameless is not None:
        raise TagFileError(
            "file", f"{path}, row {nameless.number}: has tags and no file: write the image's path, or remove the row"
        )
    return tuple(row for row in found if row.file)  # spreadsheets leave rows of separators alone


def joined_rows(rows: Iterable[TaggedFile]) -> dict[str, tuple[str, ...]]:
    """Return tags by file; those of several rows of one file together."""
    joined: dict[str, tuple[str, ...]] = {}
    for row in rows:
        joined[row.file] = tuple(dict.fromkeys((*joined.get(row.file, ()), *row.tags)))
    return joined


def sidecar_of(image: Path) -> Path | None:
    """Return the file with the tags of `x.jpg`: `x.txt` or `x.json` beside it."""
    return next((path for suffix in (".txt", ".json") if is_file(path := image.with_suffix(suffix))), None)


def read_sidecar(path: Path) -> tuple[str, ...]:
    """Return the tags of a text file or of a JSON file.

    JSON holds a list of names, an object with such a list as `tags`, or what LabelMe and X-AnyLabeling write: tags are
    then the flags that are set and the labels of shapes.

    Raises:
        TagFileError: the file cannot be read, or holds something else; `field` is `boxes` for boxes in YOLO format.
    """
    try:
        text = decoded(path.read_bytes())
    except OSError as error:
        raise TagFileError("file", f"cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise TagFileError("file", f"cannot be read as UTF-8 ({error}): save it as UTF-8") from error
    if path.suffix != ".txt":
        return _tags_of_json(text)
    if _holds_yolo_boxes(text):
        raise TagFileError(BOXES, "holds boxes in YOLO format, not tags: their class names are in no file here")
    return split_written_tags(text)


def shape_label(shape: dict[str, Any]) -> str | None:
    """Return the label of a shape of LabelMe; other tools write numbers too."""
    label = shape.get("label")
    return str(label) if isinstance(label, str | int) and not isinstance(label, bool) else None


def _tag_row(number: int, names: list[str], line: list[str]) -> TaggedFile:
    fields = list(zip(names, line, strict=False))  # a short line has none of the last columns
    written = "".join(field.strip() for name, field in fields if name == "file")
    tags = split_written_tags("\n".join(field for name, field in fields if name == "tags"))
    return TaggedFile(number, str(PurePosixPath(written)) if written else "", tags)


def _holds_yolo_boxes(text: str) -> bool:
    lines = [line for line in lines_of(text) if line.strip()]
    return bool(lines) and all(_YOLO_LINE.fullmatch(line) for line in lines)


def _tags_of_json(text: str) -> tuple[str, ...]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TagFileError("json", f"is not JSON ({error})") from error
    if isinstance(document, dict) and isinstance(document.get("shapes"), list):
        return _labelme_tags(document)
    if isinstance(document, dict) and isinstance(document.get("annotations"), list):
        raise TagFileError("annotations", "is a COCO file of many images, not the tags of one")
    tags = document.get("tags") if isinstance(document, dict) else document
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise TagFileError("tags", "must be a list of names")
    return distinct_tags(tags)


def _labelme_tags(document: dict[str, Any]) -> tuple[str, ...]:
    flags = document.get("flags")
    checked = [name for name, value in flags.items() if value is True] if isinstance(flags, dict) else []
    labels = [shape_label(shape) for shape in document["shapes"] if isinstance(shape, dict)]
    return distinct_tags([*checked, *(label for label in labels if label is not None)])
