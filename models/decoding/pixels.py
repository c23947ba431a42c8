"""Pixels of any kind to upright 8-bit RGB, strip by strip: a whole copy of a large image would take gigabytes."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from weaksam.arrays import ImageU8
from weaksam.files.opened_image import has_deep_colours

Array = npt.NDArray[np.generic]
Pixels = Image.Image | Array

STRIP_ROWS = 256
# Values below and above these percentiles are clipped, so that a hot pixel does not decide what is seen.
LOW_PERCENT, HIGH_PERCENT = 0.2, 99.8
RANGE_SAMPLES = 1_000_000
MAX_16_BIT = 65535
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
# For each orientation of EXIF: a view of upright pixels in the order in which the file stores them.
STORED_VIEWS: dict[int, Callable[[ImageU8], ImageU8]] = {
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}


def upright_rgb(pixels: Pixels, orientation: int) -> ImageU8:
    """Return pixels [H,W,3] in 8 bits, upright.

    Alpha is laid over white. Values of more than 8 bits are stretched by their own range, see `value_range`.

    Args:
        pixels: an image that Pillow has opened, or what `opencv_pixels` returns.
        orientation: of EXIF, 1 to 8.
    """
    convert = _strip_converter(pixels)
    height, width = (pixels.height, pixels.width) if isinstance(pixels, Image.Image) else pixels.shape[:2]
    upright_hwc_u8 = np.empty((*((width, height) if orientation >= 5 else (height, width)), 3), np.uint8)
    stored = STORED_VIEWS[orientation](upright_hwc_u8) if orientation in STORED_VIEWS else upright_hwc_u8
    for first in range(0, height, STRIP_ROWS):
        last = min(first + STRIP_ROWS, height)
        strip = pixels.crop((0, first, width, last)) if isinstance(pixels, Image.Image) else pixels[first:last]
        stored[first:last] = convert(strip)
    return upright_hwc_u8


def opencv_pixels(image: Image.Image, data: bytes) -> Array | None:
    """Return pixels [H,W,3 or 4], blue first, if OpenCV reads a file better than Pillow; else None.

    Pillow cuts colours of 16 bits to their upper 8, and takes 16 bytes for a pixel of WebP.

    Args:
        image: opened and not loaded.
        data: the bytes of the file.

    Raises:
        OSError: a file of 16-bit colours is damaged.
    """
    deep = has_deep_colours(image)
    if not deep and (image.format != "WEBP" or getattr(image, "is_animated", False)):
        return None
    if deep:
        # OpenCV returns half of a damaged file without an error; Pillow raises one.
        Image.open(io.BytesIO(data), formats=[str(image.format)]).load()
    # A PNG without its last chunk is whole, but OpenCV would return unset memory.
    whole = data + PNG_END if image.format == "PNG" else data
    decoded = cv2.imdecode(np.frombuffer(whole, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != (np.uint16 if deep else np.uint8) or decoded.ndim != 3:
        return None
    return decoded


def value_range(values: Array) -> tuple[float, float]:
    """Return the values that become 0 and 255: percentiles of a sample, or all values if these are one.

    An image of a single value is taken for a 16-bit one.
    """
    step = math.ceil(math.sqrt(values.shape[0] * values.shape[1] / RANGE_SAMPLES))
    sample = values[::step, ::step].astype(np.float64)
    sample = sample[np.isfinite(sample)]
    if not len(sample):
        return 0.0, 1.0
    low = float(np.percentile(sample, LOW_PERCENT, method="higher"))
    high = float(np.percentile(sample, HIGH_PERCENT, method="lower"))
    if low >= high:
        low, high = float(sample.min()), float(sample.max())
    return (low, high) if low < high else (0.0, max(MAX_16_BIT, high))


def _strip_converter(pixels: Pixels) -> Callable[[Any], ImageU8]:
    if not isinstance(pixels, Image.Image):
        return _plain_bgr if pixels.dtype == np.uint8 else partial(_stretched, value_range(pixels[..., :3]))
    if pixels.mode.startswith("I") or pixels.mode == "F":
        return partial(_stretched, value_range(np.asarray(pixels)))
    return _over_white if pixels.has_transparency_data else _plain_rgb


def _plain_bgr(strip_hwc: ImageU8) -> ImageU8:
    if strip_hwc.shape[2] == 3:
        return strip_hwc[..., ::-1]
    return _over_white(Image.fromarray(cv2.cvtColor(strip_hwc, cv2.COLOR_BGRA2RGBA)))


def _plain_rgb(strip: Image.Image) -> ImageU8:
    return np.asarray(strip if strip.mode == "RGB" else strip.convert("RGB"))


def _over_white(strip: Image.Image) -> ImageU8:
    seen = strip if strip.mode == "RGBA" else strip.convert("RGBA")
    white = Image.new("RGB", strip.size, "white")
    white.paste(seen, mask=seen)
    return np.asarray(white)


def _stretched(low_high: tuple[float, float], strip: Any) -> ImageU8:
    """Return a grey strip [h,w], or one [h,w,3 or 4] of 16 bits and blue first, as 8-bit RGB [h,w,3]."""
    low, high = low_high
    values = np.asarray(strip).astype(np.float32)
    values = values[..., None] if values.ndim == 2 else values
    # An infinite value is clipped; one that is no number becomes black.
    scaled = np.clip((np.nan_to_num(values[..., 2::-1], nan=low) - low) * (255 / (high - low)), 0, 255)
    if values.shape[2] == 4:
        alpha = values[..., 3:] / MAX_16_BIT
        scaled = scaled * alpha + 255 * (1 - alpha)
    return np.broadcast_to(np.rint(scaled), (*values.shape[:2], 3)).astype(np.uint8)
