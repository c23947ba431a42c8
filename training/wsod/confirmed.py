"""Objects that a person confirmed, for the weak detector: they are proposals too, and seeds in place of mined ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.letterbox import Letterbox
from training.data.tagged import TaggedImage
from training.proposals.store import StoredProposals


def add_confirmed_boxes(
    images: Sequence[TaggedImage], stored: Sequence[StoredProposals], side_px: int
) -> list[StoredProposals]:
    """Return the proposals of images to learn from, in order; those of a confirmed image have its boxes beside them.

    An object that no proposal overlaps would teach nothing otherwise.

    Args:
        images: with or without confirmed objects.
        stored: their proposals, in pixels of a square input.
        side_px: side of that input.
    """
    return [
        _with_boxes(image, proposals, side_px) if image.confirmed else proposals
        for image, proposals in zip(images, stored, strict=True)
    ]


def _with_boxes(image: TaggedImage, proposals: StoredProposals, side_px: int) -> StoredProposals:
    learnt = [thing.box_xyxy for thing in image.objects if not thing.difficult]
    true_xyxy = np.array(learnt, np.float32).reshape(-1, 4)
    count, classes = len(true_xyxy), proposals.cam_overlap.shape[1]
    return replace(
        proposals,
        boxes_xyxy=np.concatenate([proposals.boxes_xyxy, Letterbox(image.size_hw, side_px).boxes_to_input(true_xyxy)]),
        predicted_iou=np.concatenate([proposals.predicted_iou, np.ones(count, np.float32)]),
        cam_overlap=np.concatenate([proposals.cam_overlap, np.ones((count, classes), np.float32)]),
    )
