"""Roboflow inference's responses: one JSON for each image, as `supervision.Detections.from_inference` reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weaksam.formats.labelled import LabelledObject, LabelledSet, one_file_for_each
from weaksam.formats.provenance import MEMBER, image_provenance


def write_roboflow(labelled: LabelledSet, out: Path) -> None:
    """Write the boxes by their centres, and the masks as COCO run lengths; class ids count from 0."""
    class_ids = {name: index for index, name in enumerate(labelled.labels)}
    for image, path in one_file_for_each(labelled, out, ".json"):
        height, width = image.size_hw
        document = {
            "image": {"width": width, "height": height},
            "predictions": [
                _prediction(thing, class_ids, f"{image.id}-{number}") for number, thing in enumerate(image.objects)
            ],
            MEMBER: image_provenance(labelled, image),
        }
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _prediction(thing: LabelledObject, class_ids: Mapping[str, int], detection_id: str) -> dict[str, Any]:
    x0, y0, x1, y1 = thing.box_xyxy
    row = {
        "x": (x0 + x1) / 2,
        "y": (y0 + y1) / 2,
        "width": x1 - x0,
        "height": y1 - y0,
        "confidence": 1.0 if thing.score is None else thing.score,  # a person drew it
        "class": thing.label,
        "class_id": class_ids[thing.label],
        "detection_id": detection_id,
    }
    return row if thing.rle is None else row | {"mask_format": "rle", "rle": thing.rle}
