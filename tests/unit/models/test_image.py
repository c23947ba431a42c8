from __future__ import annotations

import io
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageFilter, ImageOps, PngImagePlugin

from models import image as image_module
from models.decoding.pixels import STORED_VIEWS, value_range
from models.image import ImageError, decode_file, decode_image, read_image
from tests.support.faults.pictures import deep_tiff, sloppy_exif

RNG = np.random.default_rng(0)
NOISE = Image.fromarray(RNG.integers(0, 255, (20, 30, 3), dtype=np.uint8))


def saved(image: Image.Image, file_format: str, exif: Image.Exif | bytes | None = None) -> bytes:
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
    decoded = decode_image(saved(NOISE, "JPEG", exif=sloppy_exif(6)))
    assert decoded.size_hw == (NOISE.width, NOISE.height)


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


def tiff(values: npt.NDArray[np.integer[Any] | np.floating[Any]]) -> bytes:
    return bytes(cv2.imencode(".tif", values)[1])


TWELVE_BIT = np.linspace(0, 4095, 64 * 64).reshape(64, 64).astype(np.uint16)
DEEP = {
    "12 bits in a PNG": bytes(cv2.imencode(".png", TWELVE_BIT)[1]),
    "12 bits in a TIFF": tiff(TWELVE_BIT),
    "a narrow band, as thermal cameras give": tiff((30_000 + TWELVE_BIT // 16).astype(np.uint16)),
    "signed": tiff(TWELVE_BIT.astype(np.int16) - 2000),
    "floats around zero": tiff(TWELVE_BIT.astype(np.float32) / 1000 - 2),
    "12-bit colours in a PNG": bytes(cv2.imencode(".png", np.dstack([TWELVE_BIT] * 3))[1]),
    "12-bit colours in a TIFF": tiff(np.dstack([TWELVE_BIT] * 3)),
}


@pytest.mark.parametrize("data", DEEP.values(), ids=list(DEEP))
def test_more_than_8_bits_are_stretched_by_their_own_range(data: bytes) -> None:
    grey = decode_image(data).image_hwc_u8[..., 0]
    assert abs(grey.mean() - 127) < 2
    assert (grey.min(), grey.max()) == (0, 255)
    assert (np.diff(grey.ravel().astype(int)) >= 0).all(), "order is kept"


def test_a_hot_pixel_does_not_decide() -> None:
    hot = TWELVE_BIT.copy()
    hot[5, 5], hot[9, 9] = 65535, 65535
    grey = decode_image(tiff(hot)).image_hwc_u8[..., 0]
    assert abs(grey.mean() - 127) < 3
    assert grey[5, 5] == 255


def test_values_that_are_no_numbers_are_black() -> None:
    values = TWELVE_BIT.astype(np.float32)
    values[0, 0], values[0, 1], values[0, 2] = np.nan, np.inf, -np.inf
    grey = decode_image(tiff(values)).image_hwc_u8[..., 0]
    assert grey[0, :3].tolist() == [0, 255, 0]
    assert abs(grey.mean() - 127) < 3


def test_alpha_of_16_bits_lies_over_white() -> None:
    bgra = np.dstack([TWELVE_BIT] * 3 + [np.zeros_like(TWELVE_BIT)])
    assert (decode_image(bytes(cv2.imencode(".png", bgra)[1])).image_hwc_u8 == 255).all()


def test_white_stays_white_under_any_alpha() -> None:
    white = np.full((256, 256), 65535, np.uint16)
    alpha = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    data = bytes(cv2.imencode(".png", np.dstack([white] * 3 + [alpha]))[1])
    assert (decode_image(data).image_hwc_u8 == 255).all()


def test_values_are_rounded_to_the_nearest_of_8_bits() -> None:
    values = np.arange(511, dtype=np.uint16)[None]
    grey = decode_image(tiff(values)).image_hwc_u8[0, :, 0]
    low, high = value_range(values)
    np.testing.assert_allclose(grey, np.clip((values[0] - low) * 255 / (high - low), 0, 255), atol=0.501)


def test_deep_colours_keep_their_order_and_a_lost_last_chunk_costs_nothing() -> None:
    colours = np.dstack([TWELVE_BIT // 4, TWELVE_BIT // 2, TWELVE_BIT])  # blue, green, red
    data = bytes(cv2.imencode(".png", colours)[1])
    decoded = decode_image(data).image_hwc_u8
    assert decoded[60, 60, 0] > decoded[60, 60, 1] > decoded[60, 60, 2]
    np.testing.assert_array_equal(decode_image(data[:-12]).image_hwc_u8, decoded)
    with pytest.raises(ImageError, match="image is damaged"):
        decode_image(data[:-300])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_as_pillow_turns_it(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(NOISE, "PNG", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    assert np.array_equal(decode_image(data).image_hwc_u8, expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("deep", [False, True])
def test_a_tiff_is_turned_once_whoever_decodes_it(orientation: int, deep: bool) -> None:
    """Pillow and OpenCV turn it themselves."""
    upright = np.asarray(NOISE.resize((90, 60)))
    stored = np.array(upright)
    stored = np.ascontiguousarray(STORED_VIEWS[orientation](stored)) if orientation in STORED_VIEWS else stored
    if deep:
        data = deep_tiff(stored.astype(np.uint16) * 257, orientation)
    else:
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = saved(Image.fromarray(stored), "TIFF", exif)
    decoded = decode_image(data).image_hwc_u8
    assert decoded.shape == upright.shape
    # Deep colours are stretched by their own range.
    assert np.abs(decoded.astype(int) - upright).mean() < 3


def test_an_orientation_that_does_not_exist_is_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 9
    assert np.array_equal(decode_image(saved(NOISE, "PNG", exif=exif)).image_hwc_u8, np.asarray(NOISE))


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("lossless", [False, True])
def test_webp_is_what_pillow_makes_of_it(mode: str, lossless: bool) -> None:
    alpha = Image.fromarray(RNG.integers(0, 255, (20, 30), dtype=np.uint8))
    picture = NOISE.copy()
    picture.putalpha(alpha)
    buffer = io.BytesIO()
    picture.convert(mode).save(buffer, "WEBP", lossless=lossless)
    seen = Image.open(buffer).convert("RGBA")
    expected = Image.new("RGB", seen.size, "white")
    expected.paste(seen, mask=seen)
    assert np.array_equal(decode_image(buffer.getvalue()).image_hwc_u8, np.asarray(expected))


BLOCKS = np.kron(RNG.integers(0, 255, (60, 45, 3)), np.ones((8, 8, 1))) + RNG.normal(0, 12, (480, 360, 3))
SCENE = Image.fromarray(np.clip(BLOCKS, 0, 255).astype(np.uint8))


def jpeg(image: Image.Image = SCENE, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **{"quality": 90, **options})
    return buffer.getvalue()


KINDS = {
    "baseline": jpeg(),
    "colours in full": jpeg(subsampling=0),
    "progressive": jpeg(progressive=True),
    "grey": jpeg(SCENE.convert("L")),
    "restart markers": jpeg(restart_marker_rows=1),
}


@pytest.mark.parametrize("missing", [1, 2])
@pytest.mark.parametrize("data", KINDS.values(), ids=list(KINDS))
def test_a_jpeg_without_its_end_marker_loses_no_pixel(data: bytes, missing: int) -> None:
    whole, cut = decode_image(data), decode_image(data[:-missing])
    assert np.array_equal(whole.image_hwc_u8, cut.image_hwc_u8)
    assert whole.warnings == ()
    # With restart markers the decoder knows the last row is whole, and misses nothing.
    assert set(cut.warnings) <= {"the JPEG file lacks its end; all pixels are there"}


@pytest.mark.parametrize("data", KINDS.values(), ids=list(KINDS))
def test_a_jpeg_without_its_last_rows_says_how_many_are_guessed(data: bytes) -> None:
    whole = decode_image(data)
    # The end may be padding, so a few bytes more than the marker may still cost nothing.
    cuts = (decode_image(data[:-missing]) for missing in range(3, 20))
    cut, rows = next(
        (cut, int(found[1]))
        for cut in cuts
        if (found := re.search(r"the last (\d+) of 480 rows are guessed", cut.warnings[0]))
    )
    assert 0 < rows <= 24
    assert np.array_equal(whole.image_hwc_u8[:-rows], cut.image_hwc_u8[:-rows])


@pytest.mark.parametrize("share", [0.9, 0.5, 0.1])
@pytest.mark.parametrize("data", KINDS.values(), ids=list(KINDS))
def test_a_jpeg_that_is_really_cut_is_refused(data: bytes, share: float) -> None:
    with pytest.raises(ImageError, match="send the whole file") as caught:
        decode_image(data[: int(share * len(data))])
    assert caught.value.code == "image_broken"


@pytest.mark.parametrize("scan", [1, 3, -1])
def test_a_progressive_jpeg_cut_between_two_scans_is_refused(scan: int) -> None:
    data = KINDS["progressive"]
    starts = [found.start() for found in re.finditer(b"\xff\xda", data)]
    with pytest.raises(ImageError, match="send the whole file"):
        decode_image(data[: starts[scan]])


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_is_decoded_at_a_reduced_scale(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = jpeg(SCENE.resize((1001, 803)).filter(ImageFilter.GaussianBlur(6)), exif=exif)
    decoded = decode_image(data, max_pixels=60_000, max_declared_pixels=1_000_000)
    pixels_hw, full_hw = ((201, 251), (803, 1001)) if orientation == 1 else ((251, 201), (1001, 803))
    assert decoded.image_hwc_u8.shape == (*pixels_hw, 3)
    assert decoded.size_hw == full_hw
    whole = decode_image(data)
    assert whole.full_hw is None
    small = cv2.resize(whole.image_hwc_u8, pixels_hw[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - decoded.image_hwc_u8).mean() < 6
    assert decoded.sha256 != whole.sha256
    with pytest.raises(ImageError, match="1001 x 803 = 803803 pixels, the limit is 800000"):
        decode_image(data, max_pixels=60_000, max_declared_pixels=800_000)
    with pytest.raises(ImageError, match="the limit is 10000: send"):
        decode_image(data, max_pixels=10_000, max_declared_pixels=1_000_000)


def test_a_large_progressive_jpeg_is_refused_with_a_remedy() -> None:
    with pytest.raises(ImageError, match="save it as a JPEG that is not progressive"):
        decode_image(jpeg(progressive=True), max_pixels=60_000, max_declared_pixels=1_000_000)


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


def test_pixels_alone_are_read_without_their_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> str:
        raise AssertionError("the digest was asked for")

    path = tmp_path / "whole.png"
    path.write_bytes(saved(NOISE, "PNG"))
    monkeypatch.setattr(image_module, "pixels_sha256", refuse)
    assert np.array_equal(read_image(path), np.asarray(NOISE))
    with pytest.raises(AssertionError, match="the digest was asked for"):
        decode_file(path)


@pytest.mark.parametrize("read", [read_image, decode_file])
def test_a_damaged_file_is_named_even_by_another_process(tmp_path: Path, read: Callable[[Path], object]) -> None:
    path = tmp_path / "half.jpg"
    path.write_bytes(saved(NOISE, "JPEG")[:-300])
    with pytest.raises(ImageError, match=r"half\.jpg: image is damaged") as caught:
        read(path)
    sent = pickle.loads(pickle.dumps(caught.value))  # as a data loader's process sends it
    assert (sent.code, str(sent)) == (caught.value.code, str(caught.value))


def with_text(characters: int) -> bytes:
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", "x" * characters, zip=True)
    buffer = io.BytesIO()
    NOISE.save(buffer, "PNG", pnginfo=texts)
    return buffer.getvalue()


def test_a_long_text_in_a_png_is_no_damage_and_a_bomb_is_not_unpacked() -> None:
    assert np.array_equal(decode_image(with_text(2_000_000)).image_hwc_u8, np.asarray(NOISE))
    with pytest.raises(ImageError, match=r"image is damaged.*too large.*send the whole file") as caught:
        decode_image(with_text(100_000_000))
    assert caught.value.code == "image_broken"


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("kept", [16, 20])
def test_the_first_bytes_of_an_image_are_a_damaged_one(file_format: str, kept: int) -> None:
    with pytest.raises(ImageError, match="image is damaged or cut short .*: send the whole file") as caught:
        decode_image(saved(NOISE, file_format)[:kept])
    assert caught.value.code == "image_broken"
    assert "0x" not in str(caught.value)


def test_a_png_with_a_damaged_header_is_damaged() -> None:
    data = bytearray(saved(NOISE, "PNG"))
    data[20] ^= 0xFF
    with pytest.raises(ImageError, match="its header cannot be read") as caught:
        decode_image(bytes(data))
    assert caught.value.code == "image_broken"


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_wrong_byte_in_the_pixels_of_a_png_is_noticed(share: float) -> None:
    data = bytearray(saved(NOISE, "PNG"))
    data[int(share * len(data))] ^= 0x10
    with pytest.raises(ImageError, match="image is damaged") as caught:
        decode_image(bytes(data))
    assert caught.value.code == "image_broken"


def test_an_empty_file_is_said_to_be_empty() -> None:
    with pytest.raises(ImageError, match="the file is empty: send"):
        decode_image(b"")


@pytest.mark.parametrize("max_declared_pixels", [400, 2_000])
def test_the_limit_that_is_told_is_that_of_the_format(max_declared_pixels: int) -> None:
    with pytest.raises(ImageError, match="30 x 20 = 600 pixels, the limit is 300: send"):
        decode_image(saved(NOISE, "PNG"), max_pixels=300, max_declared_pixels=max_declared_pixels)
    with pytest.raises(ImageError, match="the limit is 400: send"):
        decode_image(saved(NOISE, "JPEG"), max_pixels=300, max_declared_pixels=400)


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
