"""Settings of pseudo ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.ranges import Share, ShareBelow1, WholeFrom1

Teacher = Literal["wsod", "detector"]


@dataclass(frozen=True)
class PseudoLabelConfig:
    """Settings of `make_pseudo_labels`.

    Attributes:
        mode: ``adaptive`` keeps the best box of each tag, and those whose score, divided by the range of the tag's
            scores in the image, reaches ``keep_share``, without boxes inside another. ``top1`` keeps the best box
            alone. ``threshold`` keeps all boxes that reach ``min_score``; a tag may have none.
        keep_share: of ``adaptive``; 0.3 for VOC and 0.5 for COCO in the paper.
        contained_share: of ``adaptive``: a box goes if at least this share of it lies inside another of its tag.
        further_quantile: of ``adaptive``: boxes besides the best must also reach this quantile of the best boxes'
            scores, over all tags that the teacher found. 0, as published, asks nothing: a tag whose best box is a poor
            guess then brings as many others as one whose best box is sure.
        min_score: of ``threshold``; None takes the bundle's thresholds per class, calibrated on tags. Of ``adaptive``:
            a fixed score in place of ``further_quantile``.
        teacher: whose boxes they are: ``wsod``, the weak detector's; or ``detector``, the retrained one's for a second
            round of teaching, and the weak one's for tags for which that finds nothing.
        masks: draw each box's mask with the bundle's segmenter.
        boxes_from_masks: replace each box by the tight box of its mask.
        box_margin: by how much a box is enlarged at each side, as a share of its own, before it prompts the segmenter
            for its mask: a weak detector's boxes often cut their things.
        image_files: ``link`` the images into the data set, or ``copy`` them, so that it can be moved elsewhere.
        subsample: label every n-th image, and all confirmed ones; neighbouring frames of one video look alike.
        categories: a COCO file whose category ids the data set takes, such as the one that it will be scored with: a
            trainer that knows COCO's 80 classes by their ids up to 90 needs them. None counts from 1.
    """

    mode: Literal["adaptive", "top1", "threshold"] = "adaptive"
    keep_share: Share = 0.3
    contained_share: Share = 0.85
    further_quantile: ShareBelow1 = 0.0
    min_score: Share | None = None
    teacher: Teacher = "wsod"
    masks: bool = False
    boxes_from_masks: bool = False
    box_margin: Share = 0.0
    image_files: Literal["link", "copy"] = "link"
    subsample: WholeFrom1 = 1
    categories: Path | None = None
