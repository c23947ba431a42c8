"""Measures a trained detector on held-out images, with and without augmentation, and chooses its thresholds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from models.detections import Detections
from models.image import read_image
from models.labels import LabelSet
from models.run_folder import REPORT, THRESHOLDS
from training.data.tagged import TaggedImage
from training.data.tiles import tag_vector
from training.detector.inference import (
    Allowed,
    TrainedDetector,
    detect_augmented,
    detect_image,
    detect_with_masks,
    open_detector,
)
from training.metrics.predictions import Predictions
from training.metrics.score_thresholds import (
    MAX_DETECTOR_THRESHOLD,
    MIN_DETECTOR_THRESHOLD,
    tag_recall_threshold,
    thresholds_by_class,
)
from training.metrics.scorecard import PrecisionTally, all_have_masks, box_overlaps, mask_overlaps
from training.runs.ranks import track_first
from weaksam.arrays import ImageU8
from weaksam.errors import UserError
from weaksam.files.atomic import write_json
from weaksam.mask_schemas import Rle

MEASURED_IOUS = (0.5, 0.75)


def report_detector(run_dir: Path, images: Sequence[TaggedImage]) -> Path:
    """Write ``thresholds.json`` and ``report.json`` into the folder of a finished run; return the report's path.

    The thresholds, one score for each class, are chosen from the tags of ``images`` alone. If true boxes are known,
    the report has AP at IoU 0.5: ``ap50`` without tags, ``ap50_tagged`` with them, and with ``test_sides_px`` in the
    settings ``ap50_tagged_augmented``, over these sides and mirror images.

    Raises:
        RunError: the run is not finished.
    """
    trained = open_detector(run_dir)
    labels, side_px = trained.labels, trained.config.side_px
    tallies: defaultdict[str, PrecisionTally] = defaultdict(lambda: PrecisionTally(box_overlaps))
    best_scores = np.zeros((len(images), len(labels)), np.float32)
    tags = np.stack([tag_vector(image.tags, labels) for image in images])
    for row, image in enumerate(track_first(images, "detector report")):
        image_hwc_u8 = read_image(image.path)
        tagged = detect_image(trained.net, image_hwc_u8, side_px, tags[row])
        np.maximum.at(best_scores[row], tagged.labels, tagged.scores)
        if image.has_boxes:
            tallies["ap50_tagged"].add(_named(tagged, labels), image.objects)
            for name, found in _compared(trained, image_hwc_u8, tags[row]).items():
                tallies[name].add(_named(found, labels), image.objects)
    choose = partial(tag_recall_threshold, min_threshold=MIN_DETECTOR_THRESHOLD, max_threshold=MAX_DETECTOR_THRESHOLD)
    write_json(run_dir / THRESHOLDS, {"score": thresholds_by_class(best_scores, tags, choose)})
    write_json(run_dir / REPORT, {**_precision(tallies), "images": len(images)})
    return run_dir / REPORT


def measure_detector(run_dir: Path, images: Sequence[TaggedImage]) -> dict[str, Any]:
    """Return the average precision of a finished run's network, of boxes and of its own masks, with tags given.

    The figures are ``ap50_tagged`` and ``ap75_tagged``, and ``mask_ap50`` and ``mask_ap75`` if the network has masks
    and the images have true ones. Nothing is chosen on the images, and nothing is written.

    Args:
        run_dir: of `train_detector`.
        images: those without a true object for each of their tags are left out.

    Raises:
        RunError: the run is not finished.
        UserError: no image has a true object.
    """
    trained = open_detector(run_dir)
    known = [image for image in images if image.has_boxes]
    if not known:
        raise UserError("data: no image has a true object: give a data set with boxes beside the tags")
    boxes, masks = PrecisionTally(box_overlaps, MEASURED_IOUS), PrecisionTally(mask_overlaps, MEASURED_IOUS)
    for image in track_first(known, "detector report"):
        allowed = tag_vector(image.tags, trained.labels)
        found = _predictions(trained, read_image(image.path), allowed)
        boxes.add(found, image.objects)
        if found.masks is not None and all_have_masks(image.objects):
            masks.add(found, image.objects)
    figures = {f"ap{iou * 100:.0f}_tagged": boxes.mean([iou]) for iou in MEASURED_IOUS}
    if masks.by_class():
        figures |= {f"mask_ap{iou * 100:.0f}": masks.mean([iou]) for iou in MEASURED_IOUS}
    return {**figures, "images": len(known), "objects": sum(len(image.objects) for image in known)}


def _predictions(trained: TrainedDetector, image_hwc_u8: ImageU8, allowed: Allowed) -> Predictions:
    if trained.config.has_masks:
        found, masks = detect_with_masks(trained.net, image_hwc_u8, trained.config.side_px, allowed)
        return _named(found, trained.labels, masks)
    return _named(detect_image(trained.net, image_hwc_u8, trained.config.side_px, allowed), trained.labels)


def _compared(trained: TrainedDetector, image_hwc_u8: ImageU8, tags: Allowed) -> dict[str, Detections]:
    """Return what is found without tags, and with test-time augmentation if the settings ask for it."""
    net, config = trained.net, trained.config
    found = {"ap50": detect_image(net, image_hwc_u8, config.side_px, np.ones_like(tags))}
    if config.test_sides_px:
        found["ap50_tagged_augmented"] = detect_augmented(net, image_hwc_u8, config.test_sides_px, tags)
    return found


def _precision(tallies: Mapping[str, PrecisionTally]) -> dict[str, Any]:
    by_class = {name: tally.by_class() for name, tally in tallies.items()}
    means = {name: round(float(np.mean(list(aps.values()))), 4) for name, aps in by_class.items() if aps}
    per_class = {label: round(ap, 4) for label, ap in by_class.get("ap50_tagged", {}).items()}
    return {**means, "ap50_tagged_per_class": per_class}


def _named(found: Detections, labels: LabelSet, masks: tuple[Rle, ...] | None = None) -> Predictions:
    names = tuple(labels.names[label] for label in found.labels)
    return Predictions(names, found.scores, found.boxes_xyxy, masks)
