"""Files that are either whole or not there."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from weaksam.files.damaged import naming_damage

DRAFT_NAME = re.compile(r"\.(.+)\.\d+")  # the name of a file between a dot and a process's number


@contextmanager
def replacing_bytes(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `path` when the block ends well, and leaves no trace otherwise.

    Two processes that write the same one do not meet: each has a draft of its own, and the later one stays. A link
    stays, and leads to the new file. A pipe or a device, such as `/dev/stdout`, is written as it is.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    path = path.resolve()
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def remove_drafts(folder: Path, names: Container[str] | None = None) -> None:
    """Remove what killed processes were writing into a folder: any file, or those of these ``names``.

    Nobody may be writing them now.
    """
    for path in folder.iterdir():
        draft = DRAFT_NAME.fullmatch(path.name)
        if draft is not None and (names is None or draft[1] in names):
            path.unlink()


@contextmanager
def replacing(path: Path) -> Iterator[io.TextIOWrapper]:
    """Open, as `replacing_bytes`, a text file in UTF-8 whose line ends stay as they are written."""
    with replacing_bytes(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        try:
            yield text
        finally:
            text.detach()  # flushes, and leaves the file to its owner


def write_text(path: Path, text: str) -> None:
    """Write all of a text file at once."""
    with replacing(path) as file:
        file.write(text)


def write_json(path: Path, values: Any) -> None:
    """Write plain values as an indented JSON file, whole or not at all; makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(values, indent=1) + "\n")


def read_json(path: Path) -> Any:
    """Return what `write_json` wrote.

    Raises:
        UserError: the file is damaged, by a copy that was cut off, say.
    """
    with naming_damage(path):
        return json.loads(path.read_bytes())


@contextmanager
def replacing_files(folder: Path, last: str) -> Iterator[Path]:
    """Yield an empty folder whose files go into `folder` when the block ends well, and leave no trace otherwise.

    The file `last` says what the others are: it is away while they are moved. A kill at any moment leaves the old
    files whole, the new ones whole, or no `last`.
    """
    draft = folder / ".draft"
    shutil.rmtree(draft, ignore_errors=True)  # of a killed process
    draft.mkdir(parents=True)
    try:
        yield draft
        (folder / last).unlink(missing_ok=True)
        for path in sorted(draft.iterdir(), key=lambda path: path.name == last):
            path.replace(folder / path.name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
