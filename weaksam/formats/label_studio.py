"""Label Studio: a file of tasks with predictions to import, and the labelling interface that they fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

from weaksam.formats.label_studio_regions import RegionTarget, model_version, region
from weaksam.formats.labelled import LabelledImage, LabelledObject, LabelledSet, PolygonMaker, check_xml_names
from weaksam.formats.provenance import MEMBER, image_provenance

TASKS, CONFIG = "tasks.json", "label_config.xml"
IMAGE = "image"
BRUSH = RegionTarget("brushlabels", "mask", IMAGE)
BOX = RegionTarget("rectanglelabels", "box", IMAGE)
TAG_OF_KIND = {BRUSH.kind: "BrushLabels", BOX.kind: "RectangleLabels"}


def write_label_studio(labelled: LabelledSet, out: Path, image_url: str) -> None:
    """Write tasks with predictions, masks as brush strokes without loss, boxes for objects without a mask.

    Args:
        image_url: what stands before the path of each image, such as `/data/local-files/?d=photos/`.
    """
    version = model_version(labelled.info.get("bundle") or {})
    tasks = [
        _task(image, version, image_url) | {"meta": {MEMBER: image_provenance(labelled, image)}}
        for image in labelled.images
    ]
    (out / TASKS).write_text(json.dumps(tasks) + "\n", encoding="utf-8")
    (out / CONFIG).write_text(_label_config(labelled.labels), encoding="utf-8")


def _task(image: LabelledImage, version: str, image_url: str) -> dict[str, Any]:
    scores = [thing.score for thing in image.objects if thing.score is not None]
    result = [_region(thing, f"{image.id}-{number}", image.size_hw) for number, thing in enumerate(image.objects)]
    prediction = {"model_version": version, "score": max(scores, default=0.0), "result": result}
    return {"data": {IMAGE: image_url + quote(image.file_name)}, "predictions": [prediction]}


def _region(thing: LabelledObject, id_: str, size_hw: tuple[int, int]) -> dict[str, Any] | None:
    polygons = PolygonMaker(1.0)
    brush = region(thing, thing.label, BRUSH, id_, size_hw, polygons)
    return brush or region(thing, thing.label, BOX, id_, size_hw, polygons)


def _label_config(labels: tuple[str, ...]) -> str:
    check_xml_names(labels)
    root = ET.Element("View")
    ET.SubElement(root, "Image", {"name": IMAGE, "value": f"${IMAGE}"})
    for target in (BRUSH, BOX):
        control = ET.SubElement(root, TAG_OF_KIND[target.kind], {"name": target.from_name, "toName": IMAGE})
        for label in labels:
            ET.SubElement(control, "Label", {"value": label})
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"
