"""How large an image is, read from its header without decoding it."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, UnidentifiedImageError

from models.image import BROKEN, DEFAULT_MAX_PIXELS, orientation_of

_EXIF_QUARTER_TURNS = (5, 6, 7, 8)


class UnusableImageError(ValueError):
    """The message says what is wrong with the file."""


def upright_size_hw(path: Path) -> tuple[int, int]:
    """Return height and width as `models.image.read_image` will give them, from the header alone.

    Raises UnusableImageError for a missing, empty, unreadable or too large file.
    """
    if not path.is_file():
        raise UnusableImageError("the image is missing")
    if path.stat().st_size == 0:
        raise UnusableImageError("the image is empty (0 bytes)")
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = orientation_of(image) in _EXIF_QUARTER_TURNS
    except (UnidentifiedImageError, *BROKEN) as error:
        raise UnusableImageError(f"the image cannot be read ({error})") from error
    if width * height > DEFAULT_MAX_PIXELS:
        raise UnusableImageError(f"the image has {width * height} pixels, the limit is {DEFAULT_MAX_PIXELS}")
    return (width, height) if turned else (height, width)
