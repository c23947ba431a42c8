"""Images are told by their content, as serving decodes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.image import read_image
from tests.support.faults import pictures
from training.data.image_header import UnusableImageError, read_header
from weaksam.files.opened_image import EXIF_ORIENTATION


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "AVIF", "BMP", "TIFF", "GIF"])
@pytest.mark.parametrize("name", ["a.jpg", "a.jfif", "a.png"])
def test_what_serving_decodes_is_read_whatever_it_is_called(tmp_path: Path, file_format: str, name: str) -> None:
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(tmp_path / name, file_format)
    assert read_header(tmp_path / name).size_hw == read_image(tmp_path / name).shape[:2] == (40, 60)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is HEIC, which is not supported: convert it", id="heic"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer", id="lfs"),
        pytest.param(b"<!DOCTYPE html><html>", "is an HTML page", id="html"),
        pytest.param(pictures.camera_raw(), "is camera raw, of which only a preview", id="camera raw"),
        pytest.param(b"no image", "cannot be read", id="anything"),
    ],
)
def test_what_it_is_instead_is_said(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(UnusableImageError, match=sentence):
        read_header(tmp_path / "a.jpg")


def test_a_format_that_serving_does_not_decode_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(tmp_path / "a.jpg", "PPM")
    with pytest.raises(UnusableImageError, match="cannot be read"):
        read_header(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="no image in a known format"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("name", ["a.tif", "a.jpg"])
def test_the_upright_size_is_that_of_the_decoded_image(tmp_path: Path, name: str, orientation: int) -> None:
    path, exif = tmp_path / name, Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    Image.new("RGB", (40, 30)).save(path, exif=exif)
    header = read_header(path)
    assert header.size_hw == read_image(path).shape[:2]
    assert (header.stored_size_hw, header.orientation) == ((30, 40), orientation)
