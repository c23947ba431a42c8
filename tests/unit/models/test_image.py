from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.image import ImageError, decode_image, read_image

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


def test_transparency_becomes_white() -> None:
    clear = Image.new("RGBA", (4, 4), (200, 0, 0, 0))
    assert (decode_image(saved(clear, "PNG")).image_hwc_u8 == 255).all()


def test_equal_pixels_have_one_digest_whatever_the_file() -> None:
    first, second = (decode_image(saved(NOISE, kind)) for kind in ("PNG", "BMP"))
    assert (first.format, second.format) == ("PNG", "BMP")
    assert first.sha256 == second.sha256
    assert first.sha256 != decode_image(saved(NOISE.transpose(Image.Transpose.ROTATE_90), "PNG")).sha256


def test_a_damaged_file_is_named_even_by_another_process(tmp_path: Path) -> None:
    path = tmp_path / "half.jpg"
    path.write_bytes(saved(NOISE, "JPEG")[:-300])
    with pytest.raises(ImageError, match=r"half\.jpg: image is damaged") as caught:
        read_image(path)
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
