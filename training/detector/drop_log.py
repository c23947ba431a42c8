"""Counts what RoI drop did in one step: the numbers behind figure 3 of WeakSAM (arXiv 2402.14812)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torchvision.ops import box_iou

from models.nets.detectors.targets import Foreground
from training.metrics.hits import HIT_IOU

BINS = 10


def drop_figures(
    foreground: Foreground, true_boxes: Sequence[torch.Tensor], true_labels: Sequence[torch.Tensor]
) -> dict[str, Any]:
    """Return counts and histograms of a step's F foreground RoIs.

    A RoI's normalised loss is the sum of its two losses, divided by the batch's largest sum. Bin i of ten holds those
    from i/10 on. A RoI is wrong if no true object of its label overlaps it with an IoU of at least 0.5. Images
    without known true objects are not judged.

    Args:
        foreground: of the step.
        true_boxes, true_labels: of each image of the batch, [M,4] in input pixels and [M] from 1.
    """
    total = foreground.losses.sum(dim=1)
    normalised = total / total.max().clamp(min=1e-9) if len(total) else total
    bins = (normalised * BINS).long().clamp(max=BINS - 1)
    judged, wrong = judge_rois(foreground, true_boxes, true_labels)
    dropped = foreground.dropped
    return {
        "foreground": len(total),
        "dropped": int(dropped.sum()),
        "dropped_anchors": int(foreground.dropped_anchors),
        "foreground_loss": float(total.mean()) if len(total) else 0.0,
        "largest_foreground_loss": float(total.max()) if len(total) else 0.0,
        "rois_by_loss": _counts(bins),
        "judged_by_loss": _counts(bins[judged]),
        "wrong_by_loss": _counts(bins[wrong]),
        "judged_dropped": int((judged & dropped).sum()),
        "wrong_dropped": int((wrong & dropped).sum()),
        "judged_kept": int((judged & ~dropped).sum()),
        "wrong_kept": int((wrong & ~dropped).sum()),
    }


def judge_rois(
    foreground: Foreground, true_boxes: Sequence[torch.Tensor], true_labels: Sequence[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return which RoIs [F] can be judged, because their image's objects are known, and which of them are wrong [F]."""
    judged = torch.zeros(len(foreground.labels), dtype=torch.bool, device=foreground.labels.device)
    right = torch.zeros_like(judged)
    for image, (boxes, labels) in enumerate(zip(true_boxes, true_labels, strict=True)):
        mine = foreground.images == image
        judged |= mine & (len(labels) > 0)
        same = foreground.labels[mine][:, None] == labels[None]
        hits = (box_iou(foreground.boxes_xyxy[mine], boxes) >= HIT_IOU) & same
        right[mine] = hits.any(dim=1)
    return judged, judged & ~right


def _counts(bins: torch.Tensor) -> list[int]:
    counts: list[int] = torch.bincount(bins, minlength=BINS).tolist()
    return counts
