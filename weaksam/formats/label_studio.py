"""Label Studio: a file of tasks with predictions to import, and the labelling interface that they fit."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

import numpy as np

from weaksam.formats.labelled import LabelledImage, LabelledObject, LabelledSet
from weaksam.formats.polygons import Mask

TASKS, CONFIG = "tasks.json", "label_config.xml"
BRUSH, BOX, IMAGE = "mask", "box", "image"
# Bits of a run's length, smallest first: the format's header names them, and each block says which it uses.
LENGTH_BITS = (3, 4, 8, 16)


def write_label_studio(labelled: LabelledSet, out: Path, image_url: str) -> None:
    """Write tasks with predictions, masks as brush strokes without loss, boxes for objects without a mask.

    Args:
        image_url: what stands before the path of each image, such as `/data/local-files/?d=photos/`.
    """
    bundle = labelled.info.get("bundle", {})
    model = f"{bundle.get('name', 'weaksam')} {bundle.get('version', '')}".strip()
    tasks = [_task(image, model, image_url) for image in labelled.images]
    (out / TASKS).write_text(json.dumps(tasks) + "\n", encoding="utf-8")
    (out / CONFIG).write_text(_label_config(labelled.labels), encoding="utf-8")


def brush_run_lengths(mask_hw: Mask) -> list[int]:
    """Return a mask [H,W] as bytes of Label Studio's brush.

    A stream of bits codes the rows' RGBA values, 255 inside and 0 outside: 32 bits number of values, 5 bits word
    size less 1, four times 4 bits length size less 1, then runs. A run is a 1, two bits for the length size, the
    length less 1 and the value.
    """
    values = mask_hw.ravel()
    edges = np.flatnonzero(np.diff(values)) + 1
    bits = [f"{4 * values.size:032b}", f"{7:05b}", *(f"{size - 1:04b}" for size in LENGTH_BITS)]
    for start, end in pairwise([0, *edges.tolist(), values.size]):
        bits += _run(4 * (end - start), 255 if values[start] else 0)
    stream = "".join(bits)
    return np.packbits(np.frombuffer(stream.encode(), np.uint8) - ord("0")).tolist()


def _run(length: int, value: int) -> list[str]:
    longest = 1 << LENGTH_BITS[-1]
    parts = [longest] * (length // longest) + [length % longest] * (length % longest > 0)
    blocks = []
    for part in parts:
        index, size = next((index, size) for index, size in enumerate(LENGTH_BITS) if part <= 1 << size)
        blocks.append(f"1{index:02b}{part - 1:0{size}b}{value:08b}")
    return blocks


def _task(image: LabelledImage, model: str, image_url: str) -> dict[str, Any]:
    scores = [thing.score for thing in image.objects if thing.score is not None]
    result = [_region(thing, f"{image.id}-{number}", image) for number, thing in enumerate(image.objects)]
    prediction = {"model_version": model, "score": max(scores, default=0.0), "result": result}
    return {"data": {IMAGE: image_url + quote(image.file_name)}, "predictions": [prediction]}


def _region(thing: LabelledObject, id_: str, image: LabelledImage) -> dict[str, Any]:
    height, width = image.size_hw
    region = {
        "id": id_,
        "to_name": IMAGE,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "score": thing.score,
    }
    mask_hw = thing.mask()
    if mask_hw is not None:
        brush = {"format": "rle", "rle": brush_run_lengths(mask_hw), "brushlabels": [thing.label]}
        return region | {"from_name": BRUSH, "type": "brushlabels", "value": brush}
    x0, y0, x1, y1 = thing.box_xyxy
    percent = {"x": x0 / width, "y": y0 / height, "width": (x1 - x0) / width, "height": (y1 - y0) / height}
    box = {name: 100 * share for name, share in percent.items()}
    return region | {
        "from_name": BOX,
        "type": "rectanglelabels",
        "value": {**box, "rotation": 0, "rectanglelabels": [thing.label]},
    }


def _label_config(labels: tuple[str, ...]) -> str:
    root = ET.Element("View")
    ET.SubElement(root, "Image", {"name": IMAGE, "value": f"${IMAGE}"})
    for tag, name in (("BrushLabels", BRUSH), ("RectangleLabels", BOX)):
        control = ET.SubElement(root, tag, {"name": name, "toName": IMAGE})
        for label in labels:
            ET.SubElement(control, "Label", {"value": label})
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"
