"""Score thresholds of each class, chosen from the tags of held-out images alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from models.labels import LabelSet
from models.nets.wsod import RoiHead
from models.nets.wsod_methods import Method
from models.postprocess import best_scores
from training.data.tagged import TaggedImage
from training.data.tiles import tag_vector
from training.metrics.score_thresholds import best_f1_threshold, thresholds_by_class, weak_detector_thresholds
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
    best = np.stack([_scores_of(head, example.read(), quality_power) for example in examples])
    tags = np.stack([tag_vector(image.tags, labels) for image in images])
    tag_scores = np.stack([proposals.tag_scores for proposals in stored])
    return {
        "classifier": thresholds_by_class(tag_scores, tags, best_f1_threshold),
        "score": weak_detector_thresholds(best, tags, method),
    }


def _scores_of(head: RoiHead, example: RoiExample, quality_power: float) -> npt.NDArray[np.float32]:
    """Return each class's best score [C]; 0 without proposals."""
    if not len(example.boxes_xyxy):
        return np.zeros(len(example.tags), np.float32)
    with torch.no_grad():
        scores = head.scores(head.embed_pooled(example.pooled.float()))  # [P,C]
    return best_scores(scores.numpy(), example.predicted_iou.numpy(), quality_power)
