"""What the stages of `training.evaluation.lost_objects` mean, in plain sentences, with what mends each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from training.metrics.hits import HIT_IOU

GOOD_IOU = 0.75
FOUND, POOR_BOX, RETRAINING = "found", "poor_box", "retraining"
# In the order of the stages. Each is the end of a sentence: "Of 100 objects, 8 have no proposal ...".
OBJECT_STAGES = {
    "unknown_class": "are of a class that the bundle does not know",
    "no_proposal": f"have no proposal that covers them (IoU {HIT_IOU} or more)",
    "tag_not_seen": "are proposed, but the classifier does not see their tag in the image",
    "no_peak": "are of a tag that is seen, but no peak of its map lies in them",
    "other_box": "are pointed at, but the weak detector chose other boxes",
    "low_score": "are boxed by the weak detector, but scored below its threshold",
    "no_pseudo_label": "are found by the weak detector, but dropped by the rule of pseudo ground truth",
    RETRAINING: "would be learnt from, but the retrained detector does not find them",
    POOR_BOX: f"are found, but with a poor box (IoU {HIT_IOU} to {GOOD_IOU})",
    FOUND: f"are found with a good box (IoU {GOOD_IOU} or more)",
}
TAG_STAGES = {
    "unknown_class": "are of a class that the bundle does not know",
    "tag_not_seen": "are not seen by the classifier",
    "no_proposal": "are seen, but no proposal lies at the strongest peak of their map",
    "low_score": "have such a proposal, but the weak detector scores no box above its threshold",
    RETRAINING: "are found by the weak detector, but not by the retrained one",
    FOUND: "have a box in the end",
}
REMEDIES = {
    "unknown_class": "Train on images of this class, or give its name as an alias.",
    "no_proposal": (
        "Compare segmenters with `weaksam evaluate-proposals` (sam). If there are as many proposals as "
        "bundle.prompts.max_proposals, lower bundle.prompts.duplicate_iou: near-duplicates fill the list."
    ),
    "tag_not_seen": "Train the classifier longer (cam.steps), or tag more images of this class.",
    "no_peak": (
        "Look at the maps in a run's report. If they fire on the background, add images of it without tags, or train "
        "the classifier longer (cam.steps). If they fire on other objects of the tag, lower "
        "bundle.prompts.peak_min_value."
    ),
    "other_box": "Let the weak detector learn from more boxes of a tag (wsod.method = mist), or train it longer.",
    "low_score": "Calibrate on more validation images, or ask with a lower min_score.",
    "no_pseudo_label": "Keep more boxes: lower pgt.further_quantile or pgt.keep_share.",
    RETRAINING: "Train the detector longer (detector.steps), or on larger images (detector.side_px).",
    POOR_BOX: "Take a segmenter that was trained on such images (sam): it draws the boxes.",
    FOUND: "Nothing is lost.",
}
NO_BOXES = (
    "These images have no true boxes. Tags alone cannot tell whether a box lies on its object: give a data set with "
    "boxes, in COCO or VOC layout, to learn where objects are lost."
)


def loss_sentences(report: Mapping[str, Any]) -> list[str]:
    """Return a report of `count_lost_objects` or `count_lost_tags` as sentences, what to mend first at the end."""
    unit = "objects" if "objects" in report else "tags"
    sentences = [f"{row['per_100']:g} of 100 {unit} {row['sentence']}." for row in report["rows"]]
    worst = worst_stage(report["rows"])
    if worst != FOUND:
        sentence = next(row["sentence"] for row in report["rows"] if row["stage"] == worst)
        sentences.append(f"Most is lost where {unit} {sentence}. {REMEDIES[worst]}")
    if report.get("tag_map") is not None:
        sentences.append(f"The classifier's mAP over the tags of validation images is {report['tag_map']:.3f}.")
    return sentences if unit == "objects" else [*sentences, NO_BOXES]


def worst_stage(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the stage that loses most; ``found`` if none loses anything."""
    worst = max((row for row in rows if row["stage"] != FOUND), key=lambda row: row["per_100"])
    return str(worst["stage"]) if worst["per_100"] else FOUND
