"""Thumbnails of the contact sheet."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from models.image import read_image
from tests.support.fakes.answers import detect_result
from tests.support.faults.pictures import sloppy_exif
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


HALVES = np.repeat(np.array([[1000, 3000]]), 150, axis=1).repeat(200, axis=0)  # [200,300], two greys of 12 bits


def encoded(array: np.ndarray, ending: str) -> bytes:
    done, file = cv2.imencode(ending, array)
    assert done
    return file.tobytes()


@pytest.mark.parametrize(
    ("data", "left_and_right"),
    [
        pytest.param(encoded(HALVES.astype(np.uint16), ".png"), (0, 255), id="grey of 16 bits"),
        pytest.param(encoded(np.stack([HALVES] * 3, -1).astype(np.uint16), ".png"), (0, 255), id="colours of 16 bits"),
        pytest.param(encoded(HALVES.astype(np.float32), ".tiff"), (0, 255), id="floats"),
        pytest.param(
            encoded(np.stack([HALVES % 256] * 3 + [255 * (HALVES > 2000)], -1).astype(np.uint8), ".png"),
            (255, 3000 % 256),
            id="transparent left half",
        ),
    ],
)
def test_a_thumbnail_is_as_bright_as_what_the_service_sees(
    tmp_path: Path, data: bytes, left_and_right: tuple[int, int]
) -> None:
    (tmp_path / "a.png").write_bytes(data)
    drawn = draw_thumbnail(tmp_path / "a.png", detect_result(b"x", []))
    assert drawn is not None
    pixels_hw = np.asarray(Image.open(io.BytesIO(drawn)).convert("L"))
    served_hw = np.asarray(Image.fromarray(read_image(tmp_path / "a.png")).convert("L"))
    for column, wanted in zip((0.25, 0.75), left_and_right, strict=True):
        assert pixels_hw[pixels_hw.shape[0] // 2, int(column * pixels_hw.shape[1])] == pytest.approx(wanted, abs=6)
        assert served_hw[100, int(column * 300)] == pytest.approx(wanted, abs=6)


def test_what_cannot_be_read_has_no_thumbnail(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no image")
    assert draw_thumbnail(tmp_path / "a.jpg", detect_result(b"x", ["Bolt"])) is None
