"""An image that Pillow has opened: what its header says, and the image turned upright."""

from __future__ import annotations

import struct

from PIL import Image

EXIF_ORIENTATION = 0x0112
# Tags of TIFF. Cameras put a small preview on the first page of a raw file, and DNG has a version.
NEW_SUBFILE_TYPE, DNG_VERSION = 254, 50706
PREVIEW = 1
# What Pillow raises for damaged files: its parsers of TIFF and EXIF, and the decoder of AVIF with its RuntimeError.
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
    IndexError,
    RuntimeError,
    struct.error,
)
QUARTER_TURNS = (5, 6, 7, 8)
# In the names of raw modes that Pillow cuts to their upper 8 bits.
_DEEP_RAW_MODE = ";16"
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation_of(image: Image.Image) -> int:
    """Return EXIF's orientation of an opened file, 1 to 8; 1, upright, if there is none or EXIF cannot be read."""
    try:
        orientation = int(image.getexif().get(EXIF_ORIENTATION, 1))
    except BROKEN:
        return 1
    return orientation if 1 <= orientation <= 8 else 1


def orientation_to_apply(image: Image.Image) -> int:
    """Return the orientation that the decoded pixels still have: Pillow and OpenCV turn TIFF files upright."""
    return 1 if image.format == "TIFF" else orientation_of(image)


def upright_size_hw(image: Image.Image) -> tuple[int, int]:
    """Return height and width of the upright image, from its header."""
    width, height = image.size
    return (width, height) if orientation_to_apply(image) in QUARTER_TURNS else (height, width)


def upright(image: Image.Image) -> Image.Image:
    """Return the image turned by its orientation. Its EXIF is not rewritten, so it may be broken.

    Raises:
        one of `BROKEN`: the pixels are damaged.
    """
    orientation = orientation_to_apply(image)  # before loading, which drops it from some formats
    image.load()
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def has_deep_colours(image: Image.Image) -> bool:
    """Return whether the colours of an image that is not loaded yet have 16 bits, of which Pillow keeps 8."""
    tiles = getattr(image, "tile", ())
    return not image.mode.startswith("I") and any(_DEEP_RAW_MODE in str(tile.args) for tile in tiles)


def is_camera_raw(image: Image.Image) -> bool:
    """Return whether an opened TIFF is a camera's raw file, of which Pillow would read a small preview.

    Raises:
        one of `BROKEN`: its tags are damaged.
    """
    tags = getattr(image, "tag_v2", {})
    return DNG_VERSION in tags or tags.get(NEW_SUBFILE_TYPE) == PREVIEW
