"""Thumbnails of the contact sheet."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from tests.support.answers import detect_result
from tests.support.pictures import sloppy_exif
from weaksam.labelling.thumbnails import SIDE_PX, draw_thumbnail


@pytest.mark.parametrize(
    "exif",
    [
        pytest.param(sloppy_exif(6), id="cannot be written again"),
        pytest.param(b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0", id="plain"),
    ],
)
def test_a_thumbnail_is_upright_whatever_its_exif_is_like(tmp_path: Path, exif: bytes) -> None:
    Image.new("RGB", (600, 300)).save(tmp_path / "a.jpg", exif=exif)
    drawn = draw_thumbnail(tmp_path / "a.jpg", detect_result(b"x", ["Bolt"]))
    assert drawn is not None
    assert Image.open(io.BytesIO(drawn)).size == (SIDE_PX // 2, SIDE_PX)


def test_what_cannot_be_read_has_no_thumbnail(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no image")
    assert draw_thumbnail(tmp_path / "a.jpg", detect_result(b"x", ["Bolt"])) is None
