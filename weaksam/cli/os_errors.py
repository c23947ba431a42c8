"""What the system refuses, in the words of the command line: which option, which path, what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from itertools import pairwise

REMEDIES = {
    errno.ENOENT: "check the path, or make the folder that it lies in",
    errno.ENOTDIR: "a file stands in the way: name a folder",
    errno.EEXIST: "it is a file: name a folder",
    errno.EISDIR: "it is a folder: name a file",
    errno.EACCES: "allow it, or name another path",
    errno.EPERM: "allow it, or name another path",
    errno.EROFS: "name a path on another disk",
    errno.ENOSPC: "make room on its disk, or name another path",
    errno.ENAMETOOLONG: "name a shorter path",
}


def os_error_sentence(error: OSError, arguments: Sequence[str]) -> str:
    """Return a sentence for an error that names a file, with the remedy; `arguments` are those of the command."""
    if error.filename is None:
        return error.strerror or str(error)
    path = os.fsdecode(error.filename)
    parts = (_option_of(path, arguments), error.strerror, repr(path), REMEDIES.get(error.errno or 0))
    return ": ".join(part for part in parts if part)


def _option_of(path: str, arguments: Sequence[str]) -> str:
    """Return the option whose value a path is, or lies below; nothing for an argument without one."""
    written = [(name, value) for name, mark, value in (text.partition("=") for text in arguments) if mark]
    for name, value in (*written, *pairwise(arguments)):
        if name.startswith("--") and value and (path == value or path.startswith(f"{value.rstrip('/')}/")):
            return name
    return ""
