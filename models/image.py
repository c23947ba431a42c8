"""Pictures from bytes and files: upright RGB, with limits checked before any pixel is decoded."""

from __future__ import annotations

import hashlib
import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError, features

from weaksam.files.image_files import HEAD_BYTES, foreign_format

ImageErrorCode = Literal["not_an_image", "image_too_large", "image_broken"]
DEFAULT_MAX_PIXELS = 100_000_000
# Others would be decoded by outside programs (EPS), or before their size can be looked at (ICO, ICNS).
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP", *(("AVIF",) if features.check("avif") else ()))
STRIP_ROWS = 256
EXIF_ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow raises for damaged files, its parsers of TIFF and EXIF included.
BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    MemoryError,
    TypeError,
    OverflowError,
    AttributeError,
    KeyError,
    struct.error,
)

# Our own limit, which is looked at before any pixel is decoded, replaces Pillow's warning and its doubled threshold.
Image.MAX_IMAGE_PIXELS = None


class ImageError(ValueError):
    """A picture that cannot be used; ``code`` is stable, the message says what to do."""

    def __init__(self, code: ImageErrorCode, message: str) -> None:
        super().__init__(message)
        self.code: ImageErrorCode = code

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, str]]:
        return ImageError, (self.code, str(self))  # or it could not leave a data loader's process


@dataclass(frozen=True)
class DecodedImage:
    """A picture upright in RGB: ``image_hwc_u8`` [H,W,3], the file format and the sha256 of size and pixels."""

    image_hwc_u8: npt.NDArray[np.uint8]
    format: str
    sha256: str

    @property
    def size_hw(self) -> tuple[int, int]:
        height, width = self.image_hwc_u8.shape[:2]
        return height, width


def decode_image(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> DecodedImage:
    """Decode a file in one of `FORMATS`: EXIF upright, first frame, alpha over white, 16-bit scaled to 8.

    Raises:
        ImageError: ``not_an_image``, ``image_too_large`` (from the header, before decoding) or ``image_broken``.
    """
    opened = _open(data, max_pixels)
    try:
        opened.load()
        turn = TURNS.get(orientation_of(opened))
        upright = opened if turn is None else opened.transpose(turn)
        image_hwc_u8 = np.ascontiguousarray(_to_rgb(upright))
    except BROKEN as error:
        raise ImageError("image_broken", f"image is damaged or cut short ({error}): send the whole file") from error
    return DecodedImage(image_hwc_u8, opened.format or "unknown", pixels_sha256(image_hwc_u8))


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """The pixels of `decode_file`, [H,W,3] upright RGB."""
    return decode_file(path).image_hwc_u8


def decode_file(path: Path) -> DecodedImage:
    """Decode a picture on disk.

    Raises:
        ImageError: as `decode_image` does, with the file's path before the message.
        OSError: the file cannot be read.
    """
    try:
        return decode_image(path.read_bytes())
    except ImageError as error:
        raise ImageError(error.code, f"{path}: {error}") from error


def orientation_of(image: Image.Image) -> int:
    """EXIF's orientation of an opened file, 1 to 8; 1, upright, where there is none or EXIF cannot be read."""
    try:
        return int(image.getexif().get(EXIF_ORIENTATION, 1))
    except BROKEN:
        return 1


def pixels_sha256(image_hwc_u8: npt.NDArray[np.uint8]) -> str:
    """Digest of a picture's shape and pixels: equal pictures agree whatever file they came in."""
    digest = hashlib.sha256(repr(image_hwc_u8.shape).encode())
    digest.update(np.ascontiguousarray(image_hwc_u8).data)
    return digest.hexdigest()


def _open(data: bytes, max_pixels: int) -> Image.Image:
    try:
        opened = Image.open(io.BytesIO(data), formats=FORMATS)
    except (UnidentifiedImageError, *BROKEN) as error:
        found = foreign_format(data[:HEAD_BYTES])
        known = "no image in a known format" if found is None else f"{found}, which is not supported"
        raise ImageError("not_an_image", f"the bytes are {known}: send JPEG, PNG or WebP") from error
    width, height = opened.size
    if width * height > max_pixels:
        raise ImageError(
            "image_too_large",
            f"image is {width} x {height} = {width * height} pixels, the limit is {max_pixels}: send a smaller one",
        )
    return opened


def _to_rgb(image: Image.Image) -> npt.NDArray[np.uint8]:
    if image.mode.startswith("I") or image.mode == "F":
        return _wide_grey_to_rgb(np.asarray(image))
    if image.has_transparency_data:
        seen = image if image.mode == "RGBA" else image.convert("RGBA")
        image = Image.new("RGB", image.size, "white")
        image.paste(seen, mask=seen)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _wide_grey_to_rgb(grey_hw: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    # Pillow's own conversion clips values at 255, which turns such pictures white.
    divisor = _divisor(grey_hw)
    eight_bit = np.empty(grey_hw.shape, np.uint8)
    for first in range(0, len(grey_hw), STRIP_ROWS):  # as a whole it would be eight bytes a pixel, three times over
        rows = slice(first, first + STRIP_ROWS)
        eight_bit[rows] = np.clip(np.nan_to_num(grey_hw[rows].astype(np.float64) / divisor), 0, 255)
    return np.repeat(eight_bit[..., None], 3, axis=2)


def _divisor(grey_hw: npt.NDArray[np.generic]) -> float:
    """What brings values into 0..255: they may be shares, bytes, 16-bit numbers, or anything beyond."""
    largest = float(np.nanmax(grey_hw, initial=0))
    if np.issubdtype(grey_hw.dtype, np.floating) and largest <= 1:
        return 1 / 255
    if largest <= 255:
        return 1.0
    return 257.0 if largest <= 65535 else largest / 255
