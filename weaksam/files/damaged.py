"""Reading files of our own: a damaged one is named in one sentence."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from gzip import BadGzipFile
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from weaksam.errors import UserError

# Of JSON, gzip and numpy's archives that were cut off, lack a part, or hold other bytes.
DAMAGE = (ValueError, EOFError, KeyError, RecursionError, BadGzipFile, BadZipFile, zlib.error)


@contextmanager
def naming_damage(path: Path) -> Iterator[None]:
    """Read a file that this project wrote within this block.

    Raises:
        UserError: the file is damaged, by a copy that was cut off, say.
    """
    try:
        yield
    except DAMAGE as error:
        raise UserError(f"{path} is damaged ({error}): copy it again, or remove it and repeat what wrote it") from error


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return what `numpy.savez` wrote; raise UserError if the file is damaged."""
    # Opened here: of an archive that is cut off, numpy would leave it open.
    with naming_damage(path), path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        return dict(stored)
