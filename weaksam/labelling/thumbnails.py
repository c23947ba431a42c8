"""Small images with what was found in them, for a contact sheet."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from weaksam.files.image_source import as_os_errors
from weaksam.files.opened_image import BROKEN, has_deep_colours, upright
from weaksam.image_bytes import read_image_bytes
from weaksam.mask_schemas import RleMask
from weaksam.schemas import Detection, DetectResult

SIDE_PX = 240
JPEG_QUALITY = 72
MASK_OPACITY = 0.45
LOW_PERCENT = 0.2  # of the values of a 16-bit image that become black, and of those that become white
# Told apart by people who see colours differently, too: Okabe and Ito, "Color Universal Design" (2008).
COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))


def draw_thumbnail(path: Path, result: DetectResult) -> bytes | None:
    """Return a JPEG of the upright image with masks, boxes and labels; None if the file cannot be read."""
    try:
        with as_os_errors():
            data = read_image_bytes(path)
        with Image.open(io.BytesIO(data)) as image:
            image.draft("RGB", (2 * SIDE_PX, 2 * SIDE_PX))  # a JPEG is decoded at a fraction of its size
            deep = has_deep_colours(image)
            turned = upright(image)
        turned.thumbnail((SIDE_PX, SIDE_PX))
        small = _eight_bit_rgb(turned, deep)
    except BROKEN:
        return None
    labels = sorted({found.label for found in result.detections})
    for found in reversed(result.detections):  # the best one on top
        colour = COLOURS[labels.index(found.label) % len(COLOURS)]
        small = _with_mask(small, found, colour)
        _draw_box(small, found, colour, small.width / result.image.width)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


def _eight_bit_rgb(small: Image.Image, deep: bool) -> Image.Image:
    """Return an image as the service sees it: more than 8 bits stretched, transparency over white.

    Args:
        small: the image; Pillow has cut its colours to 8 bits, but not its greys.
        deep: whether its colours had 16 bits.
    """
    if deep or small.mode.startswith(("I", "F")):
        values = np.nan_to_num(np.asarray(small.convert("RGB") if deep else small, np.float32))
        low, high = np.percentile(values, (LOW_PERCENT, 100 - LOW_PERCENT))
        scaled = np.clip((values - low) * (255 / ((high - low) or 1)), 0, 255)
        return Image.fromarray(scaled.astype(np.uint8)).convert("RGB")
    if not small.has_transparency_data:
        return small.convert("RGB")
    white = Image.new("RGBA", small.size, "white")
    return Image.alpha_composite(white, small.convert("RGBA")).convert("RGB")


def _with_mask(small: Image.Image, found: Detection, colour: tuple[int, int, int]) -> Image.Image:
    if not isinstance(found.mask, RleMask):
        return small
    mask_hw = coco_mask.decode(found.mask.rle())
    opacity = Image.fromarray((mask_hw * round(255 * MASK_OPACITY)).astype(np.uint8)).resize(small.size)
    return Image.composite(Image.new("RGB", small.size, colour), small, opacity)


def _draw_box(small: Image.Image, found: Detection, colour: tuple[int, int, int], scale: float) -> None:
    draw = ImageDraw.Draw(small)
    x0, y0, x1, y1 = (edge * scale for edge in found.box_xyxy)
    draw.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=colour)
    place = (x0 + 1, max(0, y0 - 11))
    draw.rectangle(draw.textbbox(place, found.label), fill=(0, 0, 0))
    draw.text(place, found.label, fill=colour)
