"""Measures a weak detector on held-out images with stored proposals: cheap enough to compare many runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from models.labels import LabelSet
from models.letterbox import Letterbox
from models.nets.wsod import RoiHead
from models.postprocess import select_detections
from models.settings import PostSettings
from training.data.tagged import TaggedImage
from training.metrics.predictions import Predictions
from training.metrics.scorecard import LocalisationTally, PrecisionTally, box_overlaps
from training.wsod.roi_store import RoiExample


def report_wsod(
    head: RoiHead,
    images: Sequence[TaggedImage],
    examples: Iterable[RoiExample],
    labels: LabelSet,
    side_px: int,
    post: PostSettings,
) -> dict[str, Any]:
    """Return ``ap50_tagged`` and ``corloc`` at IoU 0.5 of the images with true boxes, given their tags.

    Detections are post-processed as in the service. If no true box counts, the only figure is ``images``: 0.

    Args:
        head: trained, in evaluation mode.
        images: held-out images.
        examples: of the same images, at the size that is served.
        labels: classes of the head.
        side_px: side of the input whose pixels boxes are in.
        post: the bundle's post-processing.
    """
    precision, localised = PrecisionTally(box_overlaps), LocalisationTally()
    known = 0
    for image, example in zip(images, examples, strict=True):
        if not image.has_boxes:
            continue
        known += 1
        found = _found(head, image, example, labels, side_px, post)
        precision.add(found, image.objects)
        localised.add(found, image.objects)
    per_class = precision.by_class()
    if not per_class:  # no true boxes, or difficult ones alone
        return {"images": 0}
    return {
        "images": known,
        "ap50_tagged": round(float(np.mean(list(per_class.values()))), 4),
        "corloc": localised.mean(),
        "per_class": {
            label: {"ap50_tagged": round(value, 4), "corloc": localised.share(label)}
            for label, value in per_class.items()
        },
    }


def _found(
    head: RoiHead, image: TaggedImage, example: RoiExample, labels: LabelSet, side_px: int, post: PostSettings
) -> Predictions:
    with torch.no_grad():
        vectors = head.embed_pooled(example.pooled.float())
        scores = head.scores(vectors).numpy()
        regressed = head.regress(vectors)  # [P,K,4]
    deltas = regressed.mean(dim=1, keepdim=True) if regressed.shape[1] else torch.zeros(len(vectors), 1, 4)
    letterbox = Letterbox(image.size_hw, side_px)
    detections = select_detections(
        example.boxes_xyxy.numpy(),
        scores,
        deltas.numpy(),
        example.predicted_iou.numpy(),
        np.flatnonzero(example.tags.numpy()).tolist(),
        letterbox.valid_hw,
        post,
    )
    names = tuple(labels.names[label] for label in detections.labels)
    return Predictions(names, detections.scores, letterbox.boxes_to_image(detections.boxes_xyxy))
