"""Measures a trained detector on held-out images, with and without augmentation, and chooses its thresholds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models.boxes import nms
from models.config import config_from_values
from models.detections import Detections
from models.image import read_image
from models.labels import LabelSet
from models.letterbox import Letterbox
from models.nets.backbone import MEAN_RGB
from models.nets.detectors.detector import Detector
from models.postprocess import best_first, detector_detections
from models.run_folder import CONFIG, REPORT, THRESHOLDS, open_run
from training.data.tagged import TaggedImage
from training.data.tiles import tag_vector
from training.detector.config import DetectorConfig
from training.detector.train import load_detector
from training.metrics.score_thresholds import MAX_DETECTOR_THRESHOLD, tag_recall_threshold, thresholds_by_class
from training.metrics.scorecard import PrecisionTally, Predictions, box_overlaps
from training.runs.ranks import track_first
from training.runs.run_folder import write_json

ImageU8 = npt.NDArray[np.uint8]
Allowed = npt.NDArray[np.float32]


def report_detector(run_dir: Path, images: Sequence[TaggedImage]) -> Path:
    """Write ``thresholds.json`` and ``report.json`` into the folder of a finished run; return the report's path.

    The thresholds, one score for each class, are chosen from the tags of ``images`` alone. If true boxes are known,
    the report has AP at IoU 0.5: ``ap50`` without tags, ``ap50_tagged`` with them, and with ``test_sides_px`` in the
    settings ``ap50_tagged_augmented``, over these sides and mirror images.

    Raises:
        RunError: the run is not finished.
    """
    run = open_run(run_dir, "detector")
    config = config_from_values(DetectorConfig, run.config, str(run_dir / CONFIG))
    net = load_detector(run.checkpoint, config, len(run.labels))
    net.to("cuda" if torch.cuda.is_available() else "cpu")
    tallies: defaultdict[str, PrecisionTally] = defaultdict(lambda: PrecisionTally(box_overlaps))
    best_scores = np.zeros((len(images), len(run.labels)), np.float32)
    tags = np.stack([tag_vector(image.tags, run.labels) for image in images])
    for row, image in enumerate(track_first(images, "detector report")):
        image_hwc_u8 = read_image(image.path)
        tagged = detect_image(net, image_hwc_u8, config.side_px, tags[row])
        np.maximum.at(best_scores[row], tagged.labels, tagged.scores)
        if image.objects:
            tallies["ap50_tagged"].add(_named(tagged, run.labels), image.objects)
            for name, found in _compared(net, image_hwc_u8, config, tags[row]).items():
                tallies[name].add(_named(found, run.labels), image.objects)
    choose = partial(tag_recall_threshold, max_threshold=MAX_DETECTOR_THRESHOLD)
    write_json(run_dir / THRESHOLDS, {"score": thresholds_by_class(best_scores, tags, choose)})
    write_json(run_dir / REPORT, {**_precision(tallies), "images": len(images)})
    return run_dir / REPORT


def _compared(net: Detector, image_hwc_u8: ImageU8, config: DetectorConfig, tags: Allowed) -> dict[str, Detections]:
    """Return what is found without tags, and with test-time augmentation if the settings ask for it."""
    found = {"ap50": detect_image(net, image_hwc_u8, config.side_px, np.ones_like(tags))}
    if config.test_sides_px:
        found["ap50_tagged_augmented"] = detect_augmented(net, image_hwc_u8, config.test_sides_px, tags)
    return found


def _precision(tallies: Mapping[str, PrecisionTally]) -> dict[str, Any]:
    by_class = {name: tally.by_class() for name, tally in tallies.items()}
    means = {name: round(float(np.mean(list(aps.values()))), 4) for name, aps in by_class.items() if aps}
    per_class = {label: round(ap, 4) for label, ap in by_class.get("ap50_tagged", {}).items()}
    return {**means, "ap50_tagged_per_class": per_class}


def detect_image(
    net: Detector, image_hwc_u8: ImageU8, side_px: int, allowed: Allowed, flip: bool = False
) -> Detections:
    """Return detections of the allowed classes [C] in pixels of the image, which the network sees at ``side_px``."""
    letterbox = Letterbox((image_hwc_u8.shape[0], image_hwc_u8.shape[1]), side_px)
    square = letterbox.apply(image_hwc_u8[:, ::-1] if flip else image_hwc_u8, MEAN_RGB)
    device = next(net.parameters()).device
    with torch.inference_mode():
        found = net.detect(torch.from_numpy(square[None]).to(device), torch.from_numpy(allowed).to(device))
    boxes = found.boxes_xyxy.cpu().numpy()
    if flip:
        boxes[:, [0, 2]] = letterbox.valid_hw[1] - boxes[:, [2, 0]]
    cut = detector_detections(boxes, found.scores.cpu().numpy(), found.labels.cpu().numpy(), letterbox.valid_hw)
    return Detections(letterbox.boxes_to_image(cut.boxes_xyxy), cut.scores, cut.labels, cut.sources, cut.by_detector)


def detect_augmented(net: Detector, image_hwc_u8: ImageU8, sides_px: Sequence[int], allowed: Allowed) -> Detections:
    """Return what `detect_image` finds at each side and in mirror images, suppressed together class by class."""
    views = [(side_px, flip) for side_px in sides_px for flip in (False, True)]
    found = best_first([detect_image(net, image_hwc_u8, side_px, allowed, flip) for side_px, flip in views])
    of_classes = [found[found.labels == label] for label in np.unique(found.labels)]
    kept = [part[nms(part.boxes_xyxy, part.scores, net.settings.nms_iou)] for part in of_classes]
    return best_first(kept)[: net.settings.max_detections]


def _named(found: Detections, labels: LabelSet) -> Predictions:
    return Predictions(tuple(labels.names[label] for label in found.labels), found.scores, found.boxes_xyxy)
