"""Pascal VOC annotation files, as this package writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class VocObject:
    """A label and its box, half-open float pixels; None for a tag whose place is unknown."""

    label: str
    box_xyxy: tuple[float, float, float, float] | None
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

    Boxes of whole pixels are written as VOC has them, 1-based and inclusive (xmin = x0 + 1, xmax = x1). With
    `zero_based` they are written as they stand, with decimals, by which `read_voc` knows them: nothing is rounded.
    `source` holds VOC's `database`, `annotation` and `image`.
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
        _add_object(root, thing, zero_based)
    ET.indent(root)
    path.write_text(ET.tostring(root, encoding="unicode") + "\n", encoding="utf-8")


def voc_palette() -> npt.NDArray[np.uint8]:
    """The 256 colours [256,3] of VOC's segmentation files: the bits of the index spread over the three channels."""
    index = np.arange(256)[:, None]
    palette = np.zeros((256, 3), np.int64)
    for bit in range(3):
        palette |= ((index >> (3 * bit + np.arange(3))) & 1) << (7 - bit)
    return palette.astype(np.uint8)


def _add_object(root: ET.Element, thing: VocObject, zero_based: bool) -> None:
    node = ET.SubElement(root, "object")
    _text(node, "name", thing.label)
    _text(node, "pose", "Unspecified")
    _text(node, "truncated", "0")
    _text(node, "difficult", str(int(thing.difficult)))
    if thing.box_xyxy is None:
        return
    x0, y0, x1, y1 = thing.box_xyxy
    corners = (x0, y0, x1, y1) if zero_based else (x0 + 1, y0 + 1, x1, y1)
    box = ET.SubElement(node, "bndbox")
    for name, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True):
        _text(box, name, f"{value:.4f}" if zero_based else f"{value:.0f}")


def _text(parent: ET.Element, name: str, text: str) -> None:
    ET.SubElement(parent, name).text = text
