"""Rows of `images` in a COCO file: which are images of their own, and what they say."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

from training.data.checks import Report
from training.data.numbers import declared_size_hw

Json = dict[str, Any]


def id_text(value: Any) -> str | None:
    """Return an id as text, so that 1, 1.0 and "1" are one; None for what is no id."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    return str(value).strip()


def parsed_text(value: Any) -> Any:
    """Return what a text of JSON holds, as tables have boxes and polygons; all else as it is."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return value


def distinct_rows(rows: list[Any], path: Path, report: Report) -> tuple[list[Json], dict[str, list[str | None]]]:
    """Return the first row of each image, and all ids that each file name has.

    An id of several files is left out: nothing tells which of them its objects are of.
    """
    named: list[tuple[str, Json]] = []
    for number, row in enumerate(rows):
        field = f"images[{number}]"
        if not isinstance(row, dict) or not _is_name(row.get("file_name")) or id_text(row.get("id")) is None:
            report.add(path, field, "has no id or no file_name; the image is left out")
        else:
            named.append((field, row))
    files_of_id: dict[str | None, set[str]] = {}
    for _, row in named:
        files_of_id.setdefault(id_text(row["id"]), set()).add(row["file_name"])
    kept: dict[str, Json] = {}
    ids_of: dict[str, list[str | None]] = {}
    files_of_name: dict[str, str] = {}
    for field, row in named:
        key, file = id_text(row["id"]), row["file_name"]
        if len(files_of_id[key]) > 1:
            report.add(path, f"{field}.id", f"id {row['id']!r} is that of several files; the image is left out")
            continue
        if files_of_name.setdefault(image_id_of(row), file) != file:
            report.add(path, f"{field}.id", f"another image has the id {image_id_of(row)!r} too; the image is left out")
            continue
        if file in kept:
            report.add(path, f"{field}.file_name", f"{file!r} stands there twice; read once, with the objects of both")
        kept.setdefault(file, row)
        ids_of.setdefault(file, []).append(key)
    return list(kept.values()), ids_of


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(PurePosixPath(value).name)


def image_id_of(row: Json) -> str:
    """Return the id that results and proposals are kept by: the file's name without suffix."""
    return PurePosixPath(row["file_name"]).with_suffix("").as_posix()


def size_hw_of(row: Json) -> tuple[int, int] | None:
    """Return the height and width that a row of `images` names, or None if they are no sides of an image."""
    return declared_size_hw(row.get("height"), row.get("width"))
