"""How much faster than chance the review order finds what is wrong, on images whose true masks are known.

weaksam data scenes --out scenes --count 160 --seed 17 --size 360x480
weaksam label scenes/JPEGImages --tags scenes/tags.csv --unknown-tags skip --out labelled
python -m tests.bench.labelling.review_order labelled scenes docs/logs/labelling/review_order.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from training.data.formats.coco import read_coco
from training.data.tagged import TrueObject
from weaksam.formats.labelled import LabelledObject, read_labelled

MATCH_IOU = 0.5
SHARES = (0.1, 0.25, 0.5)


def count_errors(found: Sequence[LabelledObject], true: Sequence[TrueObject]) -> int:
    """Return the detections that fit no true mask of their class with IoU 0.5, and the true objects without one."""
    free = list(true)
    for thing in found:
        mates = [other for other in free if other.label == thing.label]
        best = max(mates, key=lambda other: _iou(thing, other), default=None)
        if best is not None and _iou(thing, best) >= MATCH_IOU:
            free.remove(best)
    hits = len(true) - len(free)
    return len(found) - hits + len(free)


def _iou(found: LabelledObject, true: TrueObject) -> float:
    return float(coco_mask.iou([found.rle], [true.mask_rle], [0])[0, 0])


def measure(reviews: npt.NDArray[np.float64], errors: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Return how early the wrong images [N] and the errors [N] come, by falling review score.

    `pair_order` is the probability that a wrong image comes before a right one; by chance it is 0.5.
    """
    wrong = errors > 0
    ahead = reviews[wrong][:, None] - reviews[~wrong]
    order = np.argsort(-reviews, kind="stable")
    found = np.cumsum(errors[order]) / errors.sum()
    clean_end = np.cumsum(~wrong[order[::-1]]) / np.arange(1, len(wrong) + 1)
    return {
        "images": len(errors),
        "wrong_images": int(wrong.sum()),
        "errors": int(errors.sum()),
        "pair_order": round(float((ahead > 0).mean() + 0.5 * (ahead == 0).mean()), 3),
        "errors_found": {str(share): round(float(found[int(len(errors) * share) - 1]), 3) for share in SHARES},
        "right_images_in_last": {
            str(share): round(float(clean_end[int(len(errors) * share) - 1]), 3) for share in SHARES
        },
    }


def main(labelled_dir: Path, scenes_dir: Path, report_json: Path) -> None:
    """Print and write the measure of one labelling run."""
    true = {image.path.name: image for split in ("train", "test") for image in read_coco(scenes_dir, split).images}
    images = read_labelled(labelled_dir).images
    errors = np.array([count_errors(image.objects, true[image.file_name].objects) for image in images])
    report = measure(np.array([image.review for image in images]), errors)
    report_json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
