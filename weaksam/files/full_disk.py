"""A disk that takes no more, told in one sentence."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MAKE_ROOM = "make room, then give the same command"
# Of errors in the middle of writing, which name no file.
REMEDIES = {
    errno.ENOSPC: MAKE_ROOM,
    errno.EDQUOT: MAKE_ROOM,
    errno.EFBIG: "this disk, or `ulimit -f`, takes no larger file: name a folder on another disk, or raise the limit",
}


@contextmanager
def writing_into(out: Path) -> Iterator[None]:
    """Make the folder; if its disk takes no more within the block, say so in one sentence with the remedy.

    Raises:
        OSError: the folder cannot be made, or its disk takes no more.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0)
        if remedy is None:
            raise
        raise OSError(f"{out}: {error.strerror}: {remedy}") from error
