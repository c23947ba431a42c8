"""Image files of the kinds that break services."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
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


def truncated_jpeg() -> bytes:
    whole = saved(patch(200, 200), "JPEG")
    return whole[: len(whole) // 2]


def truncated_png() -> bytes:
    noise = np.random.default_rng(3).integers(0, 255, (64, 64, 3), np.uint8)
    whole = saved(Image.fromarray(noise), "PNG")
    return whole[: len(whole) // 2]


def huge_header(side: int = 20_000) -> bytes:
    """A PNG of a few bytes that says it is `side` squared; decoded it would take gigabytes."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
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
