"""What lies at a path that a table or a file names; some names no file system takes."""

from __future__ import annotations

from pathlib import Path


def is_file(path: Path) -> bool:
    """Tell if there is such a file; False for a name that no file can have, such as one of 300 letters."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_dir(path: Path) -> bool:
    """Tell if there is such a folder; False for a name that no folder can have."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False
