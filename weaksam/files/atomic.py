"""Files that are either whole or not there."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing_bytes(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `path` when the block ends well, and leaves no trace otherwise.

    Two processes that write the same one do not meet: each has a draft of its own, and the later one stays.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


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
