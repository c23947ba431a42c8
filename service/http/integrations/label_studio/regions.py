"""Results of the pipeline as entries of `results`: one prediction for each task."""

from __future__ import annotations

import uuid
from typing import Any

from service.errors import ServiceError
from service.http.integrations.label_studio.label_config import RegionControl
from service.http.integrations.label_studio.project_labels import ProjectLabels
from weaksam.formats.label_studio_regions import model_version, region
from weaksam.formats.labelled import LabelledObject, PolygonMaker
from weaksam.mask_schemas import MIN_FIDELITY, AnyMask, Rle, RleMask
from weaksam.schemas import BundleInfo, Detection, DetectResult, ImageInfo
from weaksam.segment_schemas import SegmentResult

Entry = dict[str, Any]


def detected(result: DetectResult, labels: ProjectLabels) -> Entry:
    """Return the regions of all detections, in each output of the project that has their label."""
    regions = [
        drawn
        for control in labels.config.outputs
        for found in result.detections
        if (drawn := _detected_in(control, found, labels, result.image)) is not None
    ]
    return entry(regions, max((drawn["score"] for drawn in regions), default=0.0), version_of(result.bundle))


def clicked(result: SegmentResult, label: str, control: RegionControl) -> Entry:
    """Return the surest mask as one region."""
    best, version = result.masks[0], version_of(result.bundle)
    if best.box_xyxy is None:
        return entry([], 0.0, version)
    score = min(max(best.predicted_iou, 0.0), 1.0)
    thing = LabelledObject(label, best.box_xyxy, score, _rle(best.mask))
    drawn = _region(thing, label, control, uuid.uuid4().hex, result.image)
    return entry([] if drawn is None else [drawn], score, version)


def version_of(bundle: BundleInfo) -> str:
    """Return the model version of a bundle's predictions."""
    return model_version(bundle.model_dump())


def entry(regions: list[dict[str, Any]], score: float, version: str) -> Entry:
    """Return one prediction."""
    return {"result": regions, "score": score, "model_version": version}


def failed(error: ServiceError, version: str) -> Entry:
    """Return a prediction without regions that says why.

    Label Studio shows the version of a prediction. It is another one than that of the model, so the task is
    predicted again when predictions are next retrieved.
    """
    return entry([], 0.0, f"{version} failed: {error.code}") | {"error": error.public_detail}


def _detected_in(
    control: RegionControl, found: Detection, labels: ProjectLabels, image: ImageInfo
) -> dict[str, Any] | None:
    text = labels.text_in(control, found.label)
    if text is None:
        return None
    thing = LabelledObject(found.label, found.box_xyxy, found.score, _rle(found.mask))
    return _region(thing, text, control, f"{found.id}-{control.target.from_name}", image)


def _rle(mask: AnyMask | None) -> Rle | None:
    return mask.rle() if isinstance(mask, RleMask) else None


def _region(
    thing: LabelledObject, text: str, control: RegionControl, id_: str, image: ImageInfo
) -> dict[str, Any] | None:
    return region(thing, text, control.target, id_, (image.height, image.width), PolygonMaker(MIN_FIDELITY))
