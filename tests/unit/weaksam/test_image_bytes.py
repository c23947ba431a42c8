"""Image files are read; what only looks like one is refused before it is opened."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from weaksam import image_bytes
from weaksam.image_bytes import named_image, read_image_bytes


@pytest.fixture(params=["pipe", "device", "folder"])
def odd(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / "odd.jpg"
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    return path


async def test_what_is_no_regular_file_is_never_opened(odd: Path) -> None:
    with pytest.raises(OSError, match="it is no regular file: copy the image into one"):
        read_image_bytes(odd)
    with pytest.raises(OSError, match="it is no regular file"):
        await named_image(odd)


def test_a_file_beyond_any_image_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jpg").write_bytes(b"12345")
    assert read_image_bytes(tmp_path / "a.jpg") == b"12345"
    monkeypatch.setattr(image_bytes, "MAX_FILE_BYTES", 4)
    with pytest.raises(OSError, match="it has 5 bytes, more than 4: make it smaller"):
        read_image_bytes(tmp_path / "a.jpg")
