"""Selection: which of the detector's boxes become pseudo ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.bundle import Bundle
from models.config import config_from_values
from models.labels import LabelSet
from models.run_folder import CONFIG, REPORT
from training.data.tagged import TaggedImage
from training.pseudo_labels.config import PseudoLabelConfig, Teacher
from training.pseudo_labels.dataset import PseudoLabelledImage, PseudoObject
from training.pseudo_labels.masks import PseudoMask
from training.pseudo_labels.rules import adaptive_rule, threshold_rule, top1_rule
from training.pseudo_labels.store import Detected
from weaksam.errors import UserError
from weaksam.files.atomic import read_json


def with_min_score(config: PseudoLabelConfig, detected: Sequence[Detected]) -> PseudoLabelConfig:
    """Return the settings with ``min_score`` set from ``further_quantile`` and the detections of all images."""
    best = best_scores(detected, config.teacher)
    if config.mode != "adaptive" or config.further_quantile == 0 or config.min_score is not None or not best:
        return config
    return replace(config, min_score=round(float(np.quantile(best, config.further_quantile)), 6))


def settled_rule(pgt_dir: Path) -> PseudoLabelConfig:
    """Return the rule of a finished `weaksam train pgt`, with the minimum score that it came to."""
    try:
        values, report = (read_json(pgt_dir / name) for name in (CONFIG, REPORT))
    except OSError as error:
        raise UserError(f"pgt: {pgt_dir} is no folder of a finished `weaksam train pgt` ({error})") from error
    rule = config_from_values(PseudoLabelConfig, values, str(pgt_dir / CONFIG))
    return replace(rule, min_score=report["min_score"])


def best_scores(detected: Sequence[Detected], teacher: Teacher) -> list[float]:
    """Return the score of the best box of each tag in each image in which the teacher found it.

    In a second round the weak detector answers for the other tags. Its scores are on another scale.
    """
    best = []
    for found in detected:
        own = found.by_detector == (teacher == "detector")
        best += [float(found.scores[own & (found.labels == label)].max()) for label in set(found.labels[own].tolist())]
    return best


def label_image(
    config: PseudoLabelConfig, bundle: Bundle, image: TaggedImage, detected: Detected, labels: LabelSet
) -> PseudoLabelledImage:
    """Return an image's pseudo ground truth, by tag in the order of the data set's labels."""
    objects: list[PseudoObject] = []
    pairs = {(labels.index(tag), bundle.labels.index(tag)) for tag in image.tags}
    for label, class_index in sorted((ours, its) for ours, its in pairs if ours is not None and its is not None):
        rows = np.flatnonzero(detected.labels == class_index)
        boxes_xyxy, scores = detected.boxes_xyxy[rows], detected.scores[rows]
        # The boxes of one tag are all of one detector.
        by_detector = bool(detected.by_detector[rows].any())
        thresholds = bundle.thresholds.detector if by_detector else bundle.thresholds.score
        for row in _select(config, boxes_xyxy, scores, thresholds[class_index]):
            x0, y0, x1, y1 = boxes_xyxy[row].tolist()
            objects.append(PseudoObject(label, (x0, y0, x1, y1), float(scores[row])))
    return PseudoLabelledImage(image, tuple(objects))


def confirmed_objects(image: TaggedImage, labels: LabelSet) -> PseudoLabelledImage:
    """Return the objects that a person confirmed, as pseudo ground truth of score 1."""
    objects = []
    for thing in image.objects:
        label = labels.index(thing.label)
        assert label is not None, "the data set's readers have checked it"
        mask = None if thing.mask_rle is None else PseudoMask(thing.mask_rle, 1.0)
        objects.append(PseudoObject(label, thing.box_xyxy, 1.0, mask))
    return PseudoLabelledImage(image, tuple(objects))


def _select(
    config: PseudoLabelConfig, boxes_xyxy: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], calibrated: float
) -> npt.NDArray[np.int64]:
    if config.mode == "top1":
        return top1_rule(scores)
    if config.mode == "threshold":
        return threshold_rule(scores, calibrated if config.min_score is None else config.min_score)
    return adaptive_rule(boxes_xyxy, scores, config.keep_share, config.contained_share, config.min_score or 0.0)
