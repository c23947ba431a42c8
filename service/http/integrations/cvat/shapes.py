"""Our results as CVAT's nuclio functions return them. Points are pixels of the upright image."""

from __future__ import annotations

from typing import Any

from weaksam.arrays import Mask
from weaksam.formats.cvat import mask_points
from weaksam.formats.polygons import join_rings, mask_to_polygons
from weaksam.formats.run_lengths import decode_rle
from weaksam.mask_schemas import MIN_FIDELITY, RleMask
from weaksam.schemas import Detection, DetectResult
from weaksam.segment_schemas import SegmentResult


def detected(result: DetectResult) -> list[dict[str, Any]]:
    """Return an annotation for each detection."""
    return [_annotation(found) for found in result.detections]


def clicked(result: SegmentResult) -> dict[str, Any]:
    """Return the surest mask: `shapes` for CVAT of 2026, `mask` and `bounds` for those before.

    `mask` is the part inside `bounds`, which are inclusive; one empty pixel stands for no mask.
    """
    best = result.masks[0].mask
    assert isinstance(best, RleMask), "run lengths were asked for"
    mask_hw = _mask(best)
    if mask_hw is None:
        return {"shapes": [], "mask": [[0]], "bounds": [0, 0, 0, 0]}
    points = mask_points(mask_hw)
    bounds = points[-4:]
    shape = {"type": "mask", "points": points, "attributes": [], "group": 0, "occluded": False, "source": "semi-auto"}
    return {"shapes": [shape], "mask": _crop(mask_hw, bounds).tolist(), "bounds": bounds}


def _annotation(found: Detection) -> dict[str, Any]:
    """Return a mask with its outline, which CVAT takes if polygons are wanted; a rectangle without a mask."""
    common = {"confidence": str(found.score), "label": found.label, "attributes": []}
    assert isinstance(found.mask, RleMask), "run lengths were asked for"
    mask_hw = _mask(found.mask)
    if mask_hw is None:
        return common | {"type": "rectangle", "points": list(found.box_xyxy)}
    bounds = mask_points(mask_hw)[-4:]
    outline = join_rings(mask_to_polygons(mask_hw, MIN_FIDELITY).rings_xy)
    crop = _crop(mask_hw, bounds).ravel().tolist()
    return common | {"type": "mask", "points": outline.astype(float).ravel().tolist(), "mask": [*crop, *bounds]}


def _mask(mask: RleMask) -> Mask | None:
    """Return the mask [H,W], or None if it is empty."""
    mask_hw = decode_rle(mask.rle())
    return mask_hw if mask_hw.any() else None


def _crop(mask_hw: Mask, bounds: list[int]) -> Any:
    left, top, right, bottom = bounds
    return mask_hw[top : bottom + 1, left : right + 1].astype(int)
