from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from models.image import ImageError, decode_file, decode_image, read_image

RNG = np.random.default_rng(0)
NOISE = Image.fromarray(RNG.integers(0, 255, (20, 30, 3), dtype=np.uint8))


def saved(image: Image.Image, file_format: str, exif: Image.Exif | None = None) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, exif=exif or Image.Exif())
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK", "1", "LA", "RGBA", "I;16"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    if mode == "I;16":
        picture = Image.fromarray(np.full((20, 30), 257 * 100, np.uint16))
    else:
        picture = NOISE.convert("L" if mode == "LA" else "RGB").convert(mode)
    decoded = decode_image(saved(picture, "TIFF"))
    assert decoded.image_hwc_u8.shape == (20, 30, 3)
    assert decoded.image_hwc_u8.dtype == np.uint8
    if mode == "I;16":
        assert (decoded.image_hwc_u8 == 100).all()


def test_exif_rotation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    decoded = decode_image(saved(NOISE, "PNG", exif=exif))
    assert decoded.size_hw == (30, 20)
    assert np.array_equal(decoded.image_hwc_u8, np.rot90(np.asarray(NOISE), -1))


def test_an_exif_block_that_cannot_be_written_again_still_turns_the_picture() -> None:
    """Sloppy writers store a resolution as text; Pillow's own turning stumbles over that."""
    exif = b"Exif\0\0II*\0\x08\0\0\0\x02\0" + struct.pack("<HHII", 0x0112, 3, 1, 6)
    exif += struct.pack("<HHI4s", 0x011A, 2, 4, b"72\0\0") + b"\0\0\0\0"
    buffer = io.BytesIO()
    NOISE.save(buffer, "JPEG", exif=exif)
    assert decode_image(buffer.getvalue()).size_hw == (NOISE.width, NOISE.height)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
def test_an_exif_block_that_cannot_be_read_leaves_the_picture_as_it_is() -> None:
    buffer = io.BytesIO()
    NOISE.save(buffer, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert decode_image(buffer.getvalue()).size_hw == (NOISE.height, NOISE.width)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.array([[0.0, 0.5, 1.0]], np.float32), id="shares"),
        pytest.param(np.array([[0, 100_000, 200_000]], np.int32), id="more than 16 bits"),
        pytest.param(np.array([[0.0, 40_000.0, 80_000.0]], np.float32), id="large floats"),
    ],
)
def test_grey_values_of_any_range_become_visible(values: npt.NDArray[np.generic]) -> None:
    grey = decode_image(saved(Image.fromarray(values), "TIFF")).image_hwc_u8[0, :, 0]
    np.testing.assert_allclose(grey, [0, 127, 255], atol=1)


def test_pictures_beyond_pillows_own_limit_are_judged_by_ours() -> None:
    data = saved(Image.new("1", (14_000, 14_000)), "PNG")
    with pytest.raises(ImageError, match="14000 x 14000 = 196000000 pixels, the limit is 190000000"):
        decode_image(data, max_pixels=190_000_000)


def test_transparency_becomes_white() -> None:
    clear = Image.new("RGBA", (4, 4), (200, 0, 0, 0))
    assert (decode_image(saved(clear, "PNG")).image_hwc_u8 == 255).all()


def test_equal_pixels_have_one_digest_whatever_the_file() -> None:
    first, second = (decode_image(saved(NOISE, kind)) for kind in ("PNG", "BMP"))
    assert (first.format, second.format) == ("PNG", "BMP")
    assert first.sha256 == second.sha256
    assert first.sha256 != decode_image(saved(NOISE.transpose(Image.Transpose.ROTATE_90), "PNG")).sha256


def test_a_file_is_decoded_as_its_bytes_are(tmp_path: Path) -> None:
    path = tmp_path / "whole.png"
    path.write_bytes(saved(NOISE, "PNG"))
    decoded, expected = decode_file(path), decode_image(path.read_bytes())
    assert (decoded.format, decoded.sha256) == (expected.format, expected.sha256)
    assert np.array_equal(read_image(path), np.asarray(NOISE))


@pytest.mark.parametrize("read", [read_image, decode_file])
def test_a_damaged_file_is_named_even_by_another_process(tmp_path: Path, read: Callable[[Path], object]) -> None:
    path = tmp_path / "half.jpg"
    path.write_bytes(saved(NOISE, "JPEG")[:-300])
    with pytest.raises(ImageError, match=r"half\.jpg: image is damaged") as caught:
        read(path)
    sent = pickle.loads(pickle.dumps(caught.value))  # as a data loader's process sends it
    assert (sent.code, str(sent)) == (caught.value.code, str(caught.value))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(b"", "not_an_image", id="empty"),
        pytest.param(b"no image at all", "not_an_image", id="text"),
        pytest.param(saved(NOISE, "JPEG")[:-300], "image_broken", id="JPEG cut short"),
        pytest.param(saved(NOISE, "PNG")[:-300], "image_broken", id="PNG cut short"),
        pytest.param(saved(Image.new("1", (20_000, 20_000)), "PNG"), "image_too_large", id="too many pixels"),
    ],
)
def test_bad_bytes_have_a_code_and_a_remedy(data: bytes, code: str) -> None:
    with pytest.raises(ImageError, match="send") as caught:
        decode_image(data, max_pixels=1_000_000)
    assert caught.value.code == code
