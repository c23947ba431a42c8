"""Score thresholds of each class, chosen from the tags of held-out images alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from models.labels import LabelSet
from models.nets.wsod import RoiHead
from models.nets.wsod_methods import Method
from models.postprocess import weighted_scores
from training.data.tagged import TaggedImage
from training.data.tiles import tag_vector
from training.metrics.score_thresholds import (
    MIN_THRESHOLD,
    MIN_WSDDN_THRESHOLD,
    best_f1_threshold,
    tag_recall_threshold,
    thresholds_by_class,
)
from training.proposals.store import StoredProposals
from training.wsod.roi_store import ExampleFile, RoiExample


def choose_thresholds(
    head: RoiHead,
    images: Sequence[TaggedImage],
    stored: Sequence[StoredProposals],
    examples: Sequence[ExampleFile],
    labels: LabelSet,
    method: Method,
    quality_power: float,
) -> dict[str, list[float]]:
    """Return ``classifier`` and ``score`` thresholds, one for each class.

    Args:
        head: trained, in evaluation mode.
        images: held-out images.
        stored, examples: of the same images, at the size that is served.
        labels: classes of the head.
        method: decides how low a score threshold may be.
        quality_power: of the bundle's post-processing.
    """
    best = np.stack([_best_scores(head, example.read(), quality_power) for example in examples])
    tags = np.stack([tag_vector(image.tags, labels) for image in images])
    tag_scores = np.stack([proposals.tag_scores for proposals in stored])
    min_threshold = MIN_WSDDN_THRESHOLD if method == "wsddn" else MIN_THRESHOLD
    return {
        "classifier": thresholds_by_class(tag_scores, tags, best_f1_threshold),
        "score": thresholds_by_class(best, tags, partial(tag_recall_threshold, min_threshold=min_threshold)),
    }


def _best_scores(head: RoiHead, example: RoiExample, quality_power: float) -> npt.NDArray[np.float32]:
    """Return each class's best score [C]; 0 without proposals."""
    if not len(example.boxes_xyxy):
        return np.zeros(len(example.tags), np.float32)
    with torch.no_grad():
        scores = head.scores(head.embed_pooled(example.pooled.float()))  # [P,C]
    best: npt.NDArray[np.float32] = weighted_scores(scores.numpy(), example.predicted_iou.numpy(), quality_power).max(
        axis=0
    )
    return best
