"""LabelMe's JSON files, which X-AnyLabeling reads too: one beside each image."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from weaksam.formats.labelled import LabelledObject, LabelledSet, PolygonMaker, one_file_for_each
from weaksam.formats.provenance import MEMBER, image_provenance

VERSION = "5.5.0"


def write_labelme(labelled: LabelledSet, out: Path, polygons: PolygonMaker) -> None:
    """Write the outlines, a shape for each part; the parts of one object share a `group_id`.

    The files belong beside the images. An object without a mask is a rectangle.
    """
    for image, path in one_file_for_each(labelled, out, ".json"):
        height, width = image.size_hw
        numbered = enumerate(image.objects, start=1)
        document: dict[str, Any] = {
            "version": VERSION,
            "flags": {},
            "shapes": [shape for group, thing in numbered for shape in _shapes(thing, group, polygons)],
            "imagePath": Path(image.file_name).name,
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
            MEMBER: image_provenance(labelled, image),
        }
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _shapes(thing: LabelledObject, group: int, polygons: PolygonMaker) -> Iterator[dict[str, Any]]:
    common = {"label": thing.label, "group_id": group, "flags": {}, "description": "", "score": thing.score}
    rings = polygons.rings_xy(thing)
    if not rings:
        x0, y0, x1, y1 = thing.box_xyxy
        yield {**common, "shape_type": "rectangle", "points": [[x0, y0], [x1, y1]]}
    for ring in rings:
        yield {**common, "shape_type": "polygon", "points": ring.astype(float).tolist()}
