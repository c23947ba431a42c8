"""A full disk, told in one sentence."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def writing_into(out: Path) -> Iterator[None]:
    """Make the folder; if its disk runs full within the block, say so in one sentence with the remedy.

    Raises:
        OSError: the folder cannot be made, or its disk is full.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise OSError(f"{out}: {error.strerror}: make room, then give the same command") from error
