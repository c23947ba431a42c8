"""Our results as X-AnyLabeling's shapes. Points are pixels of the upright image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from weaksam.mask_schemas import AnyMask, PolygonMask
from weaksam.schemas import DetectResult, TagRow
from weaksam.segment_schemas import PixelBox, SegmentResult

# The name under which the client keeps an object until its user names it.
UNNAMED = "AUTOLABEL_OBJECT"
Shape = dict[str, Any]


def detected(result: DetectResult) -> dict[str, Any]:
    """Return the shapes of all detections.

    If there are none, the image's description says why. Otherwise it stays as it is, for it is the user's.
    """
    shapes = [
        shape
        for group, found in enumerate(result.detections, start=1)
        for shape in _shapes(found.label, found.box_xyxy, found.mask, found.score, group)
    ]
    # Without `replace` the client does what its user has switched on.
    return {"shapes": shapes, "description": "" if shapes else "; ".join(map(_loss, result.tags))}


def clicked(result: SegmentResult) -> dict[str, Any]:
    """Return the surest mask, as an object without a name; what was there stays."""
    best = result.masks[0]
    boxed = best.box_xyxy is not None
    shapes = list(_shapes(UNNAMED, best.box_xyxy, best.mask, best.predicted_iou, 1)) if boxed else []
    return {"shapes": shapes, "description": "", "replace": False}


def _shapes(label: str, box_xyxy: PixelBox | None, mask: AnyMask | None, score: float, group: int) -> Iterator[Shape]:
    """Yield one shape for each part of the mask, or the box. Parts of one object share a group, which is above 0."""
    rings = mask.polygons if isinstance(mask, PolygonMask) else ()
    for ring in rings:
        points = [[x, y] for x, y in zip(ring[::2], ring[1::2], strict=True)]
        yield _shape(label, "polygon", points, score, group if len(rings) > 1 else None)
    if not rings and box_xyxy is not None:
        x0, y0, x1, y1 = box_xyxy
        yield _shape(label, "rectangle", [[x0, y0], [x1, y0], [x1, y1], [x0, y1]], score, None)


def _shape(label: str, shape_type: str, points: list[list[float]], score: float, group_id: int | None) -> Shape:
    return {
        "label": label,
        "shape_type": shape_type,
        "points": points,
        "score": score,
        "attributes": {},
        "description": "",
        "difficult": False,
        "direction": 0,
        "flags": {},
        "group_id": group_id,
        "kie_linking": [],
    }


def _loss(row: TagRow) -> str:
    return f"{row.tag}: {row.status.replace('_', ' ')}" + ("" if row.stage is None else f", lost at stage {row.stage}")
