"""Masks out of polygons and run lengths of a file that may be wrong in any way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from models.image import DEFAULT_MAX_PIXELS
from weaksam.errors import UserError
from weaksam.formats.run_lengths import run_lengths
from weaksam.mask_schemas import Rle
from weaksam.schemas import Box

# A polygon may reach over the image by this many of its sides; what is farther away is a mistake, and would take
# pycocotools minutes and gigabytes.
MAX_SIDES_OUTSIDE = 4
MIN_POLYGON_NUMBERS = 6
MAX_SHOWN = 60  # characters of a wrong value


class MaskError(UserError):
    """A mask that cannot be used; the message says why."""


def polygon_numbers(polygon: Sequence[Any]) -> list[float]:
    """Return the numbers of a polygon as written; a text such as "12.5" is the number that it says.

    Raises:
        MaskError: one is no number; the message has it.
    """
    numbers = [_number(value) for value in polygon]
    for value, number in zip(polygon, numbers, strict=True):
        if not _is_number(number):
            raise MaskError(f"a polygon holds {shown_value(value)}, which is no number: write [[x, y, x, y, ...]]")
    return [float(number) for number in numbers]


def polygons_box(polygons: Sequence[Sequence[float]]) -> Box:
    """Return the box around polygons x,y,x,y,..., of which one at least has a point."""
    xs, ys = ([value for polygon in polygons for value in polygon[start::2]] for start in (0, 1))
    return min(xs), min(ys), max(xs), max(ys)


def polygons_rle(polygons: Sequence[Sequence[float]], size_hw: tuple[int, int]) -> Rle:
    """Return the union of polygons x,y,x,y,... in pixels.

    Raises:
        MaskError: a polygon has fewer than three points, holds what is no number, or lies far outside of the image.
    """
    parts = [_near_polygon(polygon, size_hw) for polygon in polygons]
    return _as_text(coco_mask.merge(coco_mask.frPyObjects(parts, *size_hw)))


def _near_polygon(polygon: Sequence[Any], size_hw: tuple[int, int]) -> list[float]:
    if len(polygon) < MIN_POLYGON_NUMBERS or len(polygon) % 2:
        raise MaskError(f"a polygon has {len(polygon)} numbers: give x and y of three points or more")
    numbers = polygon_numbers(polygon)
    if any(abs(value) > MAX_SIDES_OUTSIDE * max(size_hw) for value in numbers):
        raise MaskError("a polygon has points far outside of the image")
    return numbers


def check_mask_size(size_hw: tuple[int, int]) -> None:
    """Check that a mask is no larger than an image may be: its pixels would fill the memory.

    Raises:
        MaskError: it is.
    """
    height, width = size_hw
    if height * width > DEFAULT_MAX_PIXELS:
        raise MaskError(f"a mask of {width}x{height} pixels is larger than images may be, {DEFAULT_MAX_PIXELS} pixels")


def run_lengths_rle(counts: Any, size: Any) -> Rle:
    """Return compressed run lengths from a list of counts or from COCO's text.

    Raises:
        MaskError: size or counts are none or too large, or the runs do not fill the size.
    """
    if not isinstance(size, list | tuple) or len(size) != 2 or not all(_is_count(side) and side for side in size):
        raise MaskError(f"size {size!r} must be height and width")
    height, width = (int(side) for side in size)
    check_mask_size((height, width))
    runs = _runs_of_text(counts) if isinstance(counts, str | bytes) else _runs_of_list(counts)
    if runs.sum() != height * width:
        raise MaskError(f"its run lengths add up to {runs.sum()}, not to {height} x {width} pixels")
    if isinstance(counts, str | bytes):
        return {"size": [height, width], "counts": counts if isinstance(counts, str) else counts.decode("ascii")}
    return _as_text(coco_mask.frPyObjects({"size": [height, width], "counts": runs.tolist()}, height, width))


def _runs_of_list(counts: Any) -> npt.NDArray[np.int64]:
    if not isinstance(counts, list) or not all(_is_count(count) and count < 2**32 for count in counts):
        raise MaskError("counts must be whole numbers or COCO's text")
    return np.array(counts, np.int64)


def _runs_of_text(counts: str | bytes) -> npt.NDArray[np.int64]:
    try:
        return run_lengths(counts if isinstance(counts, str) else counts.decode("ascii", "replace"))
    except UserError as error:
        raise MaskError(str(error)) from error


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _number(value: Any) -> Any:
    """Return the number that a text says, and all else as it is."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def shown_value(value: Any) -> str:
    """Return a wrong value for a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _as_text(rle: Any) -> Rle:
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")}
