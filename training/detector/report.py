"""What a trained detector finds on held-out pictures, plainly and with test-time augmentation, and its thresholds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from rich.progress import track

from models.boxes import nms
from models.config import config_from_values
from models.detections import Detections
from models.image import read_image
from models.labels import LabelSet
from models.labels_file import read_labels
from models.letterbox import Letterbox
from models.nets.backbone import MEAN_RGB
from models.nets.rcnn import Rcnn
from models.postprocess import best_first, detector_detections
from training.data.tagged import TaggedImage
from training.data.tiles import tag_vector
from training.detector.train import DetectorConfig, load_rcnn
from training.metrics.score_thresholds import MOST_DETECTOR_THRESHOLD, tag_recall_threshold, thresholds_by_class
from training.metrics.scorecard import Found, PrecisionTally, box_overlaps

ImageU8 = npt.NDArray[np.uint8]
Allowed = npt.NDArray[np.float32]


def report_detector(run_dir: Path, images: Sequence[TaggedImage]) -> Path:
    """Write ``thresholds.json`` and ``report.json`` into the folder of a finished run; returns the report.

    The thresholds, one score for each class, are chosen from the tags of ``images`` alone. The report has AP at IoU
    0.5 where true boxes are known: ``ap50`` without tags, ``ap50_tagged`` with them, and ``ap50_tagged_augmented``
    with tags, flips and the sides ``test_sides_px`` of the settings.
    """
    values = json.loads((run_dir / "config.json").read_text(encoding="utf-8"))
    config = config_from_values(DetectorConfig, values, str(run_dir / "config.json"))
    labels = read_labels(run_dir / "labels.json")
    net = load_rcnn(run_dir / "detector.safetensors", config.net, len(labels))
    net.to("cuda" if torch.cuda.is_available() else "cpu")
    tallies = {name: PrecisionTally(box_overlaps) for name in ("ap50", "ap50_tagged", "ap50_tagged_augmented")}
    best = np.zeros((len(images), len(labels)), np.float32)
    tags = np.stack([tag_vector(image.tags, labels) for image in images])
    for row, image in enumerate(track(images, "detector report")):
        picture = read_image(image.path)
        tagged = detect_picture(net, picture, config.side_px, tags[row])
        np.maximum.at(best[row], tagged.labels, tagged.scores)
        if not image.objects:
            continue
        found = {
            "ap50": detect_picture(net, picture, config.side_px, np.ones(len(labels), np.float32)),
            "ap50_tagged": tagged,
            "ap50_tagged_augmented": detect_augmented(net, picture, config.test_sides_px, tags[row]),
        }
        for name, detections in found.items():
            tallies[name].add(_named(detections, labels), image.objects)
    thresholds = {"score": thresholds_by_class(best, tags, partial(tag_recall_threshold, most=MOST_DETECTOR_THRESHOLD))}
    precision = {name: tally.by_class() for name, tally in tallies.items()}
    report = {name: round(float(np.mean(list(aps.values()))), 4) for name, aps in precision.items() if aps}
    per_class = {label: round(ap, 4) for label, ap in precision["ap50_tagged"].items()}
    _write(run_dir / "thresholds.json", thresholds)
    return _write(run_dir / "report.json", report | {"images": len(images), "ap50_tagged_per_class": per_class})


def detect_picture(net: Rcnn, image_hwc_u8: ImageU8, side_px: int, allowed: Allowed, flip: bool = False) -> Detections:
    """Detections of the allowed classes [C] in pixels of the picture, which the network sees at ``side_px``."""
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


def detect_augmented(net: Rcnn, image_hwc_u8: ImageU8, sides_px: Sequence[int], allowed: Allowed) -> Detections:
    """`detect_picture` at each side and its mirror image, all answers together suppressed class by class."""
    views = [(side_px, flip) for side_px in sides_px for flip in (False, True)]
    found = best_first([detect_picture(net, image_hwc_u8, side_px, allowed, flip) for side_px, flip in views])
    of_classes = [found[found.labels == label] for label in np.unique(found.labels)]
    kept = [part[nms(part.boxes_xyxy, part.scores, net.settings.nms_iou)] for part in of_classes]
    return best_first(kept)[: net.settings.max_detections]


def _named(found: Detections, labels: LabelSet) -> Found:
    return Found(tuple(labels.names[label] for label in found.labels), found.scores, found.boxes_xyxy)


def _write(path: Path, values: object) -> Path:
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    return path
