"""Image files of the kinds that break services."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

ORIENTATION_TAG = 0x0112


def patch(width: int = 64, height: int = 64) -> Image.Image:
    """A grey picture with a red patch in its upper left quarter."""
    image = Image.new("RGB", (width, height), (128, 128, 128))
    image.paste((255, 0, 0), (width // 8, height // 8, width * 3 // 8, height * 3 // 8))
    return image


def saved(image: Image.Image, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def camera_raw(tags: dict[int, Any] | None = None) -> bytes:
    """What Pillow sees of a camera's raw file: a TIFF whose first page is a small preview."""
    return saved(patch(), "TIFF", tiffinfo=tags or {254: 1})


def sloppy_exif(orientation: int) -> bytes:
    """An EXIF block as sloppy writers leave it, with a resolution as text: Pillow cannot write it again."""
    return (
        b"Exif\0\0II*\0\x08\0\0\0\x02\0"
        + struct.pack("<HHII", ORIENTATION_TAG, 3, 1, orientation)
        + struct.pack("<HHI4s", 0x011A, 2, 4, b"72\0\0")
        + b"\0\0\0\0"
    )


def deep_tiff(stored_hwc_u16: npt.NDArray[np.uint16], orientation: int) -> bytes:
    """A TIFF of 16-bit colours, which Pillow cannot write."""
    height, width, _ = stored_hwc_u16.shape
    pixels = stored_hwc_u16.astype("<u2").tobytes()
    short, long, entries = 3, 4, 10
    bits_at = 8 + 2 + 12 * entries + 4
    tags = [
        (256, long, 1, width),
        (257, long, 1, height),
        (258, short, 3, bits_at),
        (259, short, 1, 1),
        (262, short, 1, 2),
        (273, long, 1, bits_at + 6),
        (ORIENTATION_TAG, short, 1, orientation),
        (277, short, 1, 3),
        (278, long, 1, height),
        (279, long, 1, len(pixels)),
    ]
    directory = struct.pack("<H", entries) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<HHH", 16, 16, 16) + pixels


def truncated_jpeg() -> bytes:
    whole = saved(patch(200, 200), "JPEG")
    return whole[: len(whole) // 2]


def truncated_png() -> bytes:
    noise = np.random.default_rng(3).integers(0, 255, (64, 64, 3), np.uint8)
    whole = saved(Image.fromarray(noise), "PNG")
    return whole[: len(whole) // 2]


def huge_header() -> bytes:
    """A PNG of a few bytes that says it is 20 000 pixels squared; decoded it would take gigabytes."""
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(b"\0" * 64))
        + _chunk(b"IEND", b"")
    )


def sixteen_bit_grey() -> bytes:
    ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    return saved(Image.fromarray(ramp), "PNG")


def cmyk() -> bytes:
    return saved(patch().convert("CMYK"), "JPEG", quality=95)


def palette() -> bytes:
    return saved(patch().convert("P", palette=Image.Palette.ADAPTIVE), "PNG")


def palette_with_transparency() -> bytes:
    return saved(patch().convert("P", palette=Image.Palette.ADAPTIVE), "PNG", transparency=0)


def animated() -> bytes:
    return saved(patch(), "GIF", save_all=True, append_images=[Image.new("RGB", (64, 64), (0, 0, 255))] * 3)


def exif_rotated() -> bytes:
    """Stored lying on its side, 64 wide and 32 high; upright it is 32 wide and 64 high, the patch at the upper left."""
    upright = patch(32, 64)
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6  # to be turned clockwise
    return saved(upright.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)


def with_alpha() -> bytes:
    image = patch().convert("RGBA")
    image.putalpha(200)
    return saved(image, "PNG")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
