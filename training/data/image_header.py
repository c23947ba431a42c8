"""How large an image is and how it is turned, read from its header without decoding it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from models.image import DEFAULT_MAX_PIXELS, FORMATS
from weaksam.errors import UserError
from weaksam.files.image_files import CONVERT, HEAD_BYTES, RAW_PREVIEW, foreign_format
from weaksam.files.opened_image import BROKEN, QUARTER_TURNS, is_camera_raw, orientation_of, upright_size_hw


class UnusableImageError(UserError):
    """The message says what is wrong with the file."""


@dataclass(frozen=True)
class ImageHeader:
    """Size of an image.

    Attributes:
        size_hw: upright, as `models.image.read_image` gives it.
        stored_size_hw: as the pixels lie in the file.
        orientation: EXIF's, 1 to 8; 1 is upright.
    """

    size_hw: tuple[int, int]
    stored_size_hw: tuple[int, int]
    orientation: int


def read_header(path: Path) -> ImageHeader:
    """Read the header of an image of a format that serving decodes too, whatever the file's suffix.

    Raises:
        UnusableImageError: the file is missing, empty, unreadable, too large, or of another format.
    """
    try:
        if not path.is_file():
            raise UnusableImageError("the image is missing")
        if path.stat().st_size == 0:
            raise UnusableImageError("the image is empty (0 bytes)")
        with Image.open(path, formats=FORMATS) as image:
            if is_camera_raw(image):
                raise UnusableImageError(f"the file is {RAW_PREVIEW}, which is not supported: {CONVERT}")
            size_hw, orientation = upright_size_hw(image), orientation_of(image)
    except (UnidentifiedImageError, *BROKEN) as error:
        raise _unusable(path, error) from error
    pixels = size_hw[0] * size_hw[1]
    if pixels > DEFAULT_MAX_PIXELS:
        raise UnusableImageError(f"the image has {pixels} pixels, the limit is {DEFAULT_MAX_PIXELS}")
    return ImageHeader(size_hw, size_hw[::-1] if orientation in QUARTER_TURNS else size_hw, orientation)


def _unusable(path: Path, error: BaseException) -> UnusableImageError:
    if isinstance(error, UnusableImageError):
        return error
    try:
        with path.open("rb") as file:
            foreign = foreign_format(file.read(HEAD_BYTES))
    except OSError:
        foreign = None
    if foreign is not None:
        return UnusableImageError(f"the file is {foreign}, which is not supported: {CONVERT}")
    return UnusableImageError(f"the image cannot be read ({error})")
