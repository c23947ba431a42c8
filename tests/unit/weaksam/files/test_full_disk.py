"""A disk that takes no more is told with its folder and the remedy."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from weaksam.files.full_disk import writing_into


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "make room, then give the same command"),
        (errno.EDQUOT, "make room, then give the same command"),
        (errno.EFBIG, "this disk, or `ulimit -f`, takes no larger file: name a folder on another disk, or raise"),
    ],
)
def test_the_folder_and_the_remedy_are_named(tmp_path: Path, number: int, remedy: str) -> None:
    with pytest.raises(OSError, match=f"{tmp_path / 'out'}: .*: {remedy}"), writing_into(tmp_path / "out"):
        raise OSError(number, os.strerror(number))


def test_other_errors_stay_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(PermissionError, match="photo"), writing_into(tmp_path / "out"):
        raise PermissionError(errno.EACCES, "no", "photo")
