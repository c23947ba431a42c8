"""Images from bytes and files: upright RGB, with limits checked before any pixel is decoded."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin, UnidentifiedImageError, features

from models.decoding.jpeg import JPEG_FORMATS, complete_jpeg, is_reducible, is_tolerable, lost_rows, reduce_jpeg
from models.decoding.pixels import Pixels, opencv_pixels, upright_rgb
from weaksam.errors import UserError
from weaksam.files.image_files import HEAD_BYTES, RAW_PREVIEW, foreign_format
from weaksam.files.opened_image import BROKEN, is_camera_raw, orientation_to_apply

ImageErrorCode = Literal["not_an_image", "image_too_large", "image_broken"]
DEFAULT_MAX_PIXELS = 100_000_000
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Others would be decoded by outside programs (EPS), or before their size can be checked (ICO, ICNS).
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP", *(("AVIF",) if features.check("avif") else ()))

# Our own limit, which is checked before any pixel is decoded, replaces Pillow's warning and its doubled threshold.
Image.MAX_IMAGE_PIXELS = None
# Of one text or colour profile, unpacked. Pillow's 1 MB refuses images with a long editing history; its limit on all
# texts of a file together, 64 MB, still holds.
PngImagePlugin.MAX_TEXT_CHUNK = 16 * 2**20


class ImageError(UserError):
    """An image that cannot be used; ``code`` is stable, the message says what to do."""

    def __init__(self, code: ImageErrorCode, message: str) -> None:
        super().__init__(message)
        self.code: ImageErrorCode = code

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, str]]:
        return ImageError, (self.code, str(self))  # or it could not leave a data loader's process


@dataclass(frozen=True)
class DecodedImage:
    """An image upright in RGB.

    Attributes:
        image_hwc_u8: [h,w,3], smaller than the image itself if the file was decoded at a reduced scale.
        format: of the file.
        sha256: of size and pixels.
        full_hw: size of the image if it differs from that of the pixels.
        warnings: sentences on what is wrong with the file.
    """

    image_hwc_u8: npt.NDArray[np.uint8]
    format: str
    sha256: str
    full_hw: tuple[int, int] | None = None
    warnings: tuple[str, ...] = ()

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the upright image, in pixels of the file."""
        height, width = self.image_hwc_u8.shape[:2]
        return self.full_hw or (height, width)

    def at_decoded_size(self) -> DecodedImage:
        """Return the image as one of its decoded pixels, with the digest of such an image."""
        return self if self.full_hw is None else replace(self, full_hw=None, sha256=pixels_sha256(self.image_hwc_u8))


def decode_image(
    data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS, max_declared_pixels: int | None = None
) -> DecodedImage:
    """Decode a file in one of `FORMATS`: EXIF upright, first frame, alpha over white, more than 8 bits stretched.

    A JPEG whose end is missing is accepted, with a warning, if that costs no more than its last rows.

    Args:
        max_pixels: bound on the pixels that are decoded.
        max_declared_pixels: bound on the pixels of a file; None: the same. A baseline JPEG of more than ``max_pixels``
            is decoded at a reduced scale.

    Raises:
        ImageError: ``not_an_image``, ``image_too_large`` (from the header, before decoding) or ``image_broken``.
    """
    image_hwc_u8, file_format, full_hw, warnings = _decode(data, max_pixels, max_declared_pixels or max_pixels)
    # At once and not when first asked for: the service decodes in a thread, and would ask in its event loop.
    return DecodedImage(image_hwc_u8, file_format, pixels_sha256(image_hwc_u8, full_hw), full_hw, warnings)


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """Return the pixels of `decode_file`, [H,W,3] upright RGB, without the time that their digest takes.

    Raises:
        ImageError, OSError: as `decode_file` does.
    """
    with _named(path):
        return _decode(path.read_bytes(), DEFAULT_MAX_PIXELS, DEFAULT_MAX_PIXELS).image_hwc_u8


def decode_file(path: Path) -> DecodedImage:
    """Decode an image on disk.

    Raises:
        ImageError: as `decode_image` does, with the file's path before the message.
        OSError: the file cannot be read.
    """
    with _named(path):
        return decode_image(path.read_bytes())


def pixels_sha256(image_hwc_u8: npt.NDArray[np.uint8], full_hw: tuple[int, int] | None = None) -> str:
    """Return the digest of an image's size and pixels: equal images agree whatever file they came in."""
    digest = hashlib.sha256(repr((image_hwc_u8.shape, full_hw) if full_hw else image_hwc_u8.shape).encode())
    digest.update(np.ascontiguousarray(image_hwc_u8).data)
    return digest.hexdigest()


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Put the file's path before the message of an `ImageError`."""
    try:
        yield
    except ImageError as error:
        raise ImageError(error.code, f"{path}: {error}") from error


class _Decoded(NamedTuple):
    """The fields of a `DecodedImage` that come out of its file."""

    image_hwc_u8: npt.NDArray[np.uint8]
    format: str
    full_hw: tuple[int, int] | None
    warnings: tuple[str, ...]


def _decode(data: bytes, max_pixels: int, max_declared_pixels: int) -> _Decoded:
    opened, full_wh = _open(data, max_pixels, max_declared_pixels)
    try:
        pixels, warnings = _load(opened, data, max_pixels)
        orientation = orientation_to_apply(opened)
        image_hwc_u8 = upright_rgb(pixels, orientation)
    except BROKEN as error:
        raise ImageError("image_broken", f"image is damaged or cut short ({error}): send the whole file") from error
    full_hw = full_wh if orientation >= 5 else full_wh[::-1]
    reduced = full_hw if full_hw != image_hwc_u8.shape[:2] else None
    return _Decoded(image_hwc_u8, opened.format or "unknown", reduced, warnings)


def _open(data: bytes, max_pixels: int, max_declared_pixels: int) -> tuple[Image.Image, tuple[int, int]]:
    """Return an image that is ready to be loaded within the bounds, and the width and height of its file."""
    try:
        opened = Image.open(io.BytesIO(data), formats=FORMATS)
        raw = is_camera_raw(opened)
    except (UnidentifiedImageError, *BROKEN) as error:
        raise _unopened(data[:HEAD_BYTES], error) from error
    if raw:
        raise _foreign(RAW_PREVIEW)
    width, height = opened.size
    reducible, declared = is_reducible(opened), width * height <= max_declared_pixels
    if declared:
        reduce_jpeg(opened, max_pixels)
    if opened.width * opened.height > max_pixels:
        limit = max_declared_pixels if reducible and not declared else max_pixels
        hint = ", or save it as a JPEG that is not progressive" if declared and limit < max_declared_pixels else ""
        raise ImageError(
            "image_too_large",
            f"image is {width} x {height} = {width * height} pixels, the limit is {limit}: send a smaller one{hint}",
        )
    return opened, (width, height)


def _unopened(head: bytes, error: Exception) -> ImageError:
    """Return what is wrong with a file that begins with `head` and that Pillow cannot open."""
    if not head:
        return ImageError("not_an_image", "the file is empty: send JPEG, PNG or WebP")
    if found := foreign_format(head):
        return _foreign(found)
    if not any(accepts is not None and accepts(head) for _, accepts in (Image.OPEN[name] for name in FORMATS)):
        return ImageError("not_an_image", "the bytes are no image in a known format: send JPEG, PNG or WebP")
    reason = "its header cannot be read" if isinstance(error, UnidentifiedImageError) else error
    # Pillow does not tell a damaged TIFF from one of floating-point colours, say.
    hint = ", or save it with 8 or 16 bits a channel" if head.startswith(TIFF_STARTS) else ""
    return ImageError("image_broken", f"image is damaged or cut short ({reason}): send the whole file{hint}")


def _foreign(found: str) -> ImageError:
    return ImageError("not_an_image", f"the bytes are {found}, which is not supported: send JPEG, PNG or WebP")


def _load(opened: Image.Image, data: bytes, max_pixels: int) -> tuple[Pixels, tuple[str, ...]]:
    """Return the pixels of an opened image, even of a JPEG that lacks its end, with warnings."""
    decoded = opencv_pixels(opened, data)
    if decoded is not None:
        return decoded, ()
    try:
        opened.load()
        return opened, ()
    except OSError:
        completed = complete_jpeg(data) if opened.format in JPEG_FORMATS else None
        if completed is None:
            raise
        quiet, noisy = (Image.open(io.BytesIO(file), formats=["JPEG"]) for file in (completed.quiet, completed.noisy))
        for image in (quiet, noisy):
            reduce_jpeg(image, max_pixels)
            image.load()
        rows = lost_rows(quiet, noisy)
        if not is_tolerable(rows, quiet.height):
            raise
    lost = f"the last {rows} of {quiet.height} rows are guessed" if rows else "all pixels are there"
    return quiet, (f"the JPEG file lacks its end; {lost}",)
