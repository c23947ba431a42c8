"""Pascal VOC annotation files, as this package writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt

from weaksam.schemas import Box


@dataclass(frozen=True)
class VocObject:
    """A label and its box, half-open float pixels; None for a tag whose place is unknown."""

    label: str
    box_xyxy: Box | None
    difficult: bool = False


def write_voc_annotation(
    path: Path,
    filename: str,
    size_hw: tuple[int, int],
    objects: Sequence[VocObject],
    *,
    segmented: bool = False,
    zero_based: bool = False,
    source: Mapping[str, str] | None = None,
) -> None:
    """Write one annotation.

    Boxes are written as VOC has them, in whole pixels of the image, 1-based and inclusive (xmin = x0 + 1, xmax = x1);
    a box that is thinner than a pixel takes a whole one.

    Args:
        zero_based: write boxes as they stand, with decimals, by which `read_voc` knows them: nothing is rounded.
        source: VOC's `database`, `annotation` and `image`.
    """
    root = ET.Element("annotation")
    _text(root, "folder", "JPEGImages")
    _text(root, "filename", filename)
    if source:
        node = ET.SubElement(root, "source")
        for name, text in source.items():
            _text(node, name, text)
    size = ET.SubElement(root, "size")
    for name, value in (("width", size_hw[1]), ("height", size_hw[0]), ("depth", 3)):
        _text(size, name, str(value))
    _text(root, "segmented", str(int(segmented)))
    for thing in objects:
        _add_object(root, thing, None if zero_based else size_hw)
    ET.indent(root)
    path.write_text(ET.tostring(root, encoding="unicode") + "\n", encoding="utf-8")


def voc_palette() -> npt.NDArray[np.uint8]:
    """The 256 colours [256,3] of VOC's segmentation files: the bits of the index spread over the three channels."""
    index = np.arange(256)[:, None]
    palette = np.zeros((256, 3), np.int64)
    for bit in range(3):
        palette |= ((index >> (3 * bit + np.arange(3))) & 1) << (7 - bit)
    return palette.astype(np.uint8)


def _add_object(root: ET.Element, thing: VocObject, size_hw: tuple[int, int] | None) -> None:
    """Add an object; without ``size_hw`` its box stays as it is."""
    node = ET.SubElement(root, "object")
    _text(node, "name", thing.label)
    _text(node, "pose", "Unspecified")
    _text(node, "truncated", "0")
    _text(node, "difficult", str(int(thing.difficult)))
    if thing.box_xyxy is None:
        return
    x0, y0, x1, y1 = thing.box_xyxy
    if size_hw is None:
        texts = [f"{side:.4f}" for side in thing.box_xyxy]
    else:
        (left, right), (top, bottom) = _pixels(x0, x1, size_hw[1]), _pixels(y0, y1, size_hw[0])
        texts = list(map(str, (left, top, right, bottom)))
    box = ET.SubElement(node, "bndbox")
    for name, text in zip(("xmin", "ymin", "xmax", "ymax"), texts, strict=True):
        _text(box, name, text)


def _pixels(start: float, end: float, length: int) -> tuple[int, int]:
    """Return the first and the last pixel of a half-open extent in an image of so many pixels, which count from 1."""
    first = min(max(round(start + 1), 1), length)
    return first, max(first, min(round(end), length))


def _text(parent: ET.Element, name: str, text: str) -> None:
    ET.SubElement(parent, name).text = text
