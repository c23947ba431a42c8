"""Figures by the names that people read, in tables and reports; JSON keeps the short ones."""

from __future__ import annotations

import re

ELEVEN_POINT = "_11_point"
PLAIN_NAMES = {
    "ap50": "box precision (AP50), no tags given",
    "ap50_tagged": "box precision (AP50), tags given",
    "naive_ap50_tagged": "box precision (AP50) of the naive baseline, tags given",
    "ap50_to_95": "box precision (AP50:95), no tags given",
    "mask_ap50": "mask precision (AP50), tags given",
    "mask_ap50_to_95": "mask precision (AP50:95), tags given",
    "corloc": "best box on its object (CorLoc)",
    "naive_corloc": "best box on its object (CorLoc), naive baseline",
    "returned_precision": "returned boxes that are right, no tags given",
    "returned_precision_tagged": "returned boxes that are right, tags given",
    "returned_recall": "objects found by a returned box, no tags given",
    "returned_recall_tagged": "objects found by a returned box, tags given",
    "proposal_recall": "objects covered by a proposal",
    "proposals_per_image": "proposals for each image",
    "tag_map": "tags ranked right (mAP)",
    "tag_top1": "surest tag is right (top1)",
    "pointing_accuracy": "highest point of a map in a box of its tag (pointing)",
    "pointing_by_kind": "the same (pointing), by kind of map",
    "peaks at per_tag": "peaks for each tag",
    "peaks at inside_share": "peaks that lie in a box of their tag",
    "peaks at objects_found_share": "objects with a peak",
    "ap50_tagged_per_class": "box precision (AP50), tags given",
    "objects": "objects",
}


def plain_name(name: str) -> str:
    """Return the name of a figure as people read it; one that has none in the table keeps its own."""
    if name in PLAIN_NAMES:
        return PLAIN_NAMES[name]
    figure, at, key = name.partition(" at ")
    eleven = ", by VOC's 11 points" if figure.endswith(ELEVEN_POINT) else ""
    plain = PLAIN_NAMES.get(figure.removesuffix(ELEVEN_POINT), figure.replace("_", " "))
    of_iou = "IoU " if re.fullmatch(r"[01]\.\d+", key) else ""
    return f"{plain}{eleven}{at and ', '}{of_iou}{key}"
