"""Images made smaller before they are sent, and their results brought back to the image as it was."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from weaksam.files.opened_image import BROKEN, has_deep_colours, upright, upright_size_hw
from weaksam.image_bytes import read_image_bytes
from weaksam.mask_schemas import RleMask
from weaksam.schemas import Detection, DetectResult, ImageInfo

# What can be written again without a loss but that of the smaller size; others are sent as they are.
FORMAT_OF_MODE = {"L": "JPEG", "RGB": "JPEG", "CMYK": "JPEG", "LA": "PNG", "RGBA": "PNG"}
JPEG_QUALITY = 95
# These are the user's own files, and a JPEG of any size is decoded at a fraction of it.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True)
class Shrunk:
    """The file to send and the size [height, width] of the upright image that it was made from."""

    data: bytes
    size_hw: tuple[int, int]


def shrink(path: Path, max_side: int) -> Shrunk | None:
    """Return the image with a longer side of `max_side` pixels, upright; None if it is to be sent as it is.

    That is so if it is small enough, has 16 bits or a palette, or cannot be read: the service says what is wrong.

    Raises:
        OSError: the file cannot be read.
    """
    data = read_image_bytes(path)
    try:
        with Image.open(io.BytesIO(data)) as image:
            if max(image.size) <= max_side or image.mode not in FORMAT_OF_MODE or has_deep_colours(image):
                return None
            size_hw = upright_size_hw(image)
            image.draft(image.mode, (max_side, max_side))  # a JPEG is decoded at a fraction of its size
            return Shrunk(_encoded(_with_alpha(upright(image)), size_hw, max_side), size_hw)
    except BROKEN:
        return None


def restore(result: DetectResult, size_hw: tuple[int, int]) -> DetectResult:
    """Return the result in pixels of an image of `size_hw`; its digest stays that of the image that was sent."""
    sent, (height, width) = result.image, size_hw
    scale_x, scale_y = width / sent.width, height / sent.height
    image = ImageInfo(width=width, height=height, sha256=sent.sha256)
    detections = tuple(_restored(row, size_hw, scale_x, scale_y) for row in result.detections)
    return result.model_copy(update={"image": image, "detections": detections})


def _restored(row: Detection, size_hw: tuple[int, int], scale_x: float, scale_y: float) -> Detection:
    x0, y0, x1, y1 = row.box_xyxy
    box_xyxy = (x0 * scale_x, y0 * scale_y, x1 * scale_x, y1 * scale_y)
    mask = _resized(row.mask, size_hw) if isinstance(row.mask, RleMask) else row.mask
    return row.model_copy(update={"box_xyxy": box_xyxy, "mask": mask})


def _with_alpha(image: Image.Image) -> Image.Image:
    """Return the image with an alpha channel in place of a colour that its file declares to be transparent."""
    return image.convert("LA" if image.mode == "L" else "RGBA") if "transparency" in image.info else image


def _encoded(image: Image.Image, size_hw: tuple[int, int], max_side: int) -> bytes:
    height, width = (max(1, round(side * max_side / max(size_hw))) for side in size_hw)
    buffer = io.BytesIO()
    image.resize((width, height), Image.Resampling.BOX).save(
        buffer, FORMAT_OF_MODE[image.mode], quality=JPEG_QUALITY, subsampling=0
    )
    return buffer.getvalue()


def _resized(mask: RleMask, size_hw: tuple[int, int]) -> RleMask:
    """Return the mask at another size: each pixel takes the value of the nearest one."""
    sent_hw = coco_mask.decode(mask.rle())
    rows, columns = (
        np.minimum(((np.arange(side) + 0.5) * sent / side).astype(int), sent - 1)
        for side, sent in zip(size_hw, sent_hw.shape, strict=True)
    )
    encoded = coco_mask.encode(np.asfortranarray(sent_hw[np.ix_(rows, columns)]))
    return RleMask(size=size_hw, counts=encoded["counts"].decode("ascii"))
