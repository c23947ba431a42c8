"""The overlay: masks, outlines and a chip with label and score for each detection, drawn on the image."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw

from service.inference.label_text import label_text
from weaksam.arrays import ImageU8, Mask
from weaksam.formats.run_lengths import decode_rle
from weaksam.mask_schemas import RleMask
from weaksam.schemas import Detection, DetectResult

Rgb = tuple[int, int, int]

FILL_OPACITY = 0.42
GOLDEN_ANGLE = 0.381966
FIRST_HUE = 0.93
MAX_CHIP_EMS = 20
MIN_FONT_PX, FONT_SHARE = 11, 0.024
PNG_COMPRESSION = 3


class Rect(NamedTuple):
    """A rectangle in pixels, half-open."""

    x0: int
    y0: int
    x1: int
    y1: int

    def overlaps(self, other: Rect) -> bool:
        return self.x0 < other.x1 and other.x0 < self.x1 and self.y0 < other.y1 and other.y0 < self.y1


def draw_overlay(image_hwc_u8: ImageU8, result: DetectResult) -> bytes:
    """Return a PNG of the image's own size with all detections.

    Args:
        image_hwc_u8: [H,W,3], the image that the result is about.
        result: with masks as run lengths, or none.
    """
    colours = label_colours([detection.label for detection in result.detections])
    drawn_hwc_u8 = image_hwc_u8.copy()
    # The best one is drawn last, on top.
    for detection in reversed(result.detections):
        _draw_shape(drawn_hwc_u8, detection, colours[detection.label])
    painted = _draw_chips(drawn_hwc_u8, result.detections, colours)
    done, png = cv2.imencode(".png", painted[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION])
    assert done, "OpenCV writes any 8-bit image"
    return png.tobytes()


def label_colours(labels: Sequence[str]) -> dict[str, Rgb]:
    """Return a colour for each different label; the golden angle keeps their hues apart."""
    colours = {}
    for rank, label in enumerate(sorted(set(labels))):
        rgb = colorsys.hsv_to_rgb((FIRST_HUE + rank * GOLDEN_ANGLE) % 1, 0.85, 0.95)
        red, green, blue = (round(255 * channel) for channel in rgb)
        colours[label] = (red, green, blue)
    return colours


def place_chips(
    anchors: Sequence[Rect], sizes_wh: Sequence[tuple[int, int]], image_hw: tuple[int, int]
) -> list[Rect | None]:
    """Place each chip at its anchor's upper left corner, else below or beside it, else in the nearest free row.

    Chips lie inside the image and do not overlap; None means that there is no room.
    """
    placed: list[Rect | None] = []
    for anchor, size_wh in zip(anchors, sizes_wh, strict=True):
        taken = [rect for rect in placed if rect is not None]
        free = (rect for rect in _places(anchor, size_wh, image_hw) if not any(map(rect.overlaps, taken)))
        placed.append(next(free, None))
    return placed


def _places(anchor: Rect, size_wh: tuple[int, int], image_hw: tuple[int, int]) -> Iterator[Rect]:
    (width, height), (rows, columns) = size_wh, image_hw
    if width > columns or height > rows:
        return
    tops = [anchor.y0 - height, anchor.y1, anchor.y0]
    tops += [anchor.y0 + direction * step * height for step in range(1, rows // height + 1) for direction in (1, -1)]
    for top in tops:
        for left in (anchor.x0, anchor.x1 - width):
            x0, y0 = min(max(left, 0), columns - width), min(max(top, 0), rows - height)
            yield Rect(x0, y0, x0 + width, y0 + height)


def _draw_shape(image_hwc_u8: ImageU8, detection: Detection, colour: Rgb) -> None:
    thickness = max(1, round(max(image_hwc_u8.shape[:2]) / 400))
    if isinstance(detection.mask, RleMask):
        _draw_mask(image_hwc_u8, decode_rle(detection.mask.rle()), colour, thickness)
    rect = _rect(detection)
    cv2.rectangle(image_hwc_u8, (rect.x0, rect.y0), (rect.x1 - 1, rect.y1 - 1), colour, thickness)


def _draw_mask(image_hwc_u8: ImageU8, mask_hw: Mask, colour: Rgb, thickness: int) -> None:
    blended = image_hwc_u8[mask_hw] * (1 - FILL_OPACITY) + np.array(colour) * FILL_OPACITY
    image_hwc_u8[mask_hw] = blended.astype(np.uint8)
    contours, _ = cv2.findContours(mask_hw.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    # A dark line under the coloured one keeps the outline crisp on bright ground.
    cv2.drawContours(image_hwc_u8, contours, -1, (20, 20, 20), 2 * thickness, cv2.LINE_AA)
    cv2.drawContours(image_hwc_u8, contours, -1, colour, thickness, cv2.LINE_AA)


def _draw_chips(image_hwc_u8: ImageU8, detections: Sequence[Detection], colours: Mapping[str, Rgb]) -> ImageU8:
    image_hw = image_hwc_u8.shape[0], image_hwc_u8.shape[1]
    size_px = max(MIN_FONT_PX, round(FONT_SHARE * max(image_hw)))
    padding = max(2, round(size_px / 4))
    max_width_px = min(image_hw[1] - 2 * padding, MAX_CHIP_EMS * size_px)
    texts = [label_text(detection.label, detection.score, size_px, max_width_px) for detection in detections]
    sizes_wh = [(text.width_px + 2 * padding, text.height_px) for text in texts]
    image = Image.fromarray(image_hwc_u8)
    draw = ImageDraw.Draw(image)
    chips = place_chips([_rect(detection) for detection in detections], sizes_wh, image_hw)
    for detection, text, chip in zip(detections, texts, chips, strict=True):
        if chip is not None:
            colour = colours[detection.label]
            draw.rounded_rectangle((chip.x0, chip.y0, chip.x1 - 1, chip.y1 - 1), padding, fill=colour)
            text.draw(draw, (chip.x0 + padding, chip.y0), _ink(colour))
    return np.asarray(image)


def _ink(colour: Rgb) -> Rgb:
    """Return black or white, whichever reads better on `colour` (relative luminance of ITU-R BT.709)."""
    red, green, blue = colour
    return (255, 255, 255) if 0.2126 * red + 0.7152 * green + 0.0722 * blue < 128 else (0, 0, 0)


def _rect(detection: Detection) -> Rect:
    x0, y0, x1, y1 = detection.box_xyxy
    return Rect(int(x0), int(y0), max(int(x0) + 1, round(x1)), max(int(y0) + 1, round(y1)))
