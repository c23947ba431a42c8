"""CVAT's XML, "CVAT for images 1.1"."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np

from weaksam.arrays import Mask
from weaksam.errors import UserError
from weaksam.formats.labelled import LabelledObject, LabelledSet, check_xml_names
from weaksam.formats.provenance import MEMBER, run_provenance

ANNOTATIONS = "annotations.xml"


def write_cvat(labelled: LabelledSet, out: Path) -> None:
    """Write masks without loss, as run lengths inside their boxes, and boxes for objects without a mask.

    Raises:
        UserError: a name cannot stand in XML.
    """
    check_xml_names((*labelled.labels, *(image.file_name for image in labelled.images)))
    root = ET.Element("annotations")
    ET.SubElement(root, "version").text = "1.1"
    # CVAT keeps its own notes in `meta` and reads none of them back.
    ET.SubElement(ET.SubElement(root, "meta"), MEMBER).text = json.dumps(run_provenance(labelled))
    for number, image in enumerate(labelled.images):
        height, width = image.size_hw
        size = {"width": str(width), "height": str(height), "sha256": image.sha256 or ""}
        node = ET.SubElement(root, "image", {"id": str(number), "name": image.file_name, **size})
        for order, thing in enumerate(reversed(image.objects)):  # the best on top
            _add(node, thing, order)
    ET.indent(root)
    ET.ElementTree(root).write(out / ANNOTATIONS, encoding="utf-8", xml_declaration=True)


def crop_run_lengths(mask_hw: Mask) -> tuple[list[int], tuple[int, int, int, int]]:
    """Return run lengths, row by row inside the box, background first, and the box: left, top, width, height."""
    rows, columns = np.flatnonzero(mask_hw.any(axis=1)), np.flatnonzero(mask_hw.any(axis=0))
    crop = mask_hw[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    flat = np.concatenate([[False], crop.ravel(), [not crop[-1, -1]]])
    ends = np.flatnonzero(flat[1:] != flat[:-1])
    lengths = np.diff(ends, prepend=0).tolist()
    return lengths, (int(columns[0]), int(rows[0]), crop.shape[1], crop.shape[0])


def uncropped_mask(lengths: Sequence[int], place: tuple[int, int, int, int], size_hw: tuple[int, int]) -> Mask:
    """Return the mask [H,W] of what `crop_run_lengths` returns.

    Raises:
        UserError: the runs do not fill the box, or the box lies outside of the image.
    """
    (left, top, width, height), (high, wide) = place, size_hw
    if min(left, top, width, height) < 0 or left + width > wide or top + height > high:
        raise UserError(f"a box of {width}x{height} pixels at {left}, {top} lies outside of {wide}x{high}")
    if min(lengths, default=0) < 0 or sum(lengths) != width * height:
        raise UserError(f"runs of {sum(lengths)} pixels do not fill a box of {width}x{height}")
    inside = np.arange(len(lengths)) % 2 == 1  # background first
    mask_hw = np.zeros(size_hw, np.bool_)
    mask_hw[top : top + height, left : left + width] = np.repeat(inside, lengths).reshape(height, width)
    return mask_hw


def mask_points(mask_hw: Mask) -> list[int]:
    """Return a mask as the `points` of a shape: run lengths, then left, top, right and bottom, all inclusive."""
    lengths, (left, top, width, height) = crop_run_lengths(mask_hw)
    return [*lengths, left, top, left + width - 1, top + height - 1]


def _add(image: ET.Element, thing: LabelledObject, order: int) -> None:
    common = {"label": thing.label, "source": "auto", "occluded": "0", "z_order": str(order)}
    mask_hw = thing.mask()
    if mask_hw is None or not mask_hw.any():
        corners = dict(zip(("xtl", "ytl", "xbr", "ybr"), (f"{side:.2f}" for side in thing.box_xyxy), strict=True))
        ET.SubElement(image, "box", common | corners)
        return
    lengths, place = crop_run_lengths(mask_hw)
    frame = dict(zip(("left", "top", "width", "height"), map(str, place), strict=True))
    ET.SubElement(image, "mask", common | {"rle": ", ".join(map(str, lengths))} | frame)
