"""Thresholds of a bundle for the proposals of another segmenter, from tagged images and without training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.bundle import WSOD, Bundle, Thresholds
from models.postprocess import best_scores
from training.data.tagged import TaggedImage
from training.data.tiles import tag_vector
from training.metrics.score_thresholds import weak_detector_thresholds
from training.proposals.graph_runner import GraphRunner
from training.runs.ranks import track_first
from weaksam.arrays import Float32


def recalibrated(bundle: Bundle, images: Sequence[TaggedImage]) -> Thresholds:
    """Return the bundle's thresholds with those of `wsod`'s scores picked anew.

    Classifier and detector do not see the segmenter: their thresholds stay.

    Args:
        bundle: with the new segmenter.
        images: held-out images with tags of the bundle.
    """
    runner = GraphRunner(bundle)
    best = np.stack([_scores_of(runner, image) for image in track_first(images, "thresholds")])
    tags = np.stack([tag_vector(image.tags, bundle.labels) for image in images])
    of_wsod = bundle.provenance.get("runs", {}).get(WSOD, {}).get("config", {})
    picked = weak_detector_thresholds(best, tags, of_wsod.get("method", "oicr"))
    return replace(bundle.thresholds, score=tuple(picked))


def _scores_of(runner: GraphRunner, image: TaggedImage) -> Float32:
    """Return each class's best score [C]; 0 without proposals."""
    bundle = runner.bundle
    proposals = runner.propose(image, bundle.labels.indices(image.tags)).proposal_set.proposals
    if not len(proposals):
        return np.zeros(len(bundle.labels), np.float32)
    scores, _ = runner.score(image, proposals)
    return best_scores(scores, proposals.predicted_iou, bundle.post.quality_power)
