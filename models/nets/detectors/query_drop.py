"""Query drop, the counterpart of RoI drop for networks that match one query to each object. It is ours.

WeakSAM's own code (arXiv 2402.14812) has RoI drop switched off for DINO, and nothing of the kind for Mask2Former.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from models.nets.detectors.targets import Foreground, Target

Match = Sequence[tuple[torch.Tensor, torch.Tensor]]
# As a logit: a query without weight says nothing, and a loss that wants it to say nothing has no gradient there.
SILENT = -60.0


class Matched(NamedTuple):
    """The objects that the last layer's queries were matched to: F of them.

    Attributes:
        objects: of each image, rows of its targets.
        losses: [F,2] classification and place (box or mask), without gradient.
        dropped: [F] bool.
    """

    objects: list[torch.Tensor]
    losses: torch.Tensor
    dropped: torch.Tensor

    def foreground(self, targets: Sequence[Target]) -> Foreground:
        """Return what the log counts: the objects themselves, which are right or wrong."""
        boxes = [target.boxes_xyxy[rows] for target, rows in zip(targets, self.objects, strict=True)]
        labels = [target.labels[rows] for target, rows in zip(targets, self.objects, strict=True)]
        counts = torch.tensor([len(rows) for rows in boxes], device=self.losses.device)
        return Foreground(
            images=torch.repeat_interleave(counts),
            boxes_xyxy=torch.cat(boxes),
            labels=torch.cat(labels),
            losses=self.losses,
            dropped=self.dropped,
            dropped_anchors=self.dropped.new_zeros((), dtype=torch.int64),
        )


def by_object(dropped: torch.Tensor, match: Match, labels: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return of each image which of its objects [N] are dropped, from those of all matched ones [F]."""
    of_images = []
    parts = torch.split(dropped, [len(objects) for _, objects in match])
    for part, (_, objects), of_image in zip(parts, match, labels, strict=True):
        flags = torch.zeros(len(of_image), dtype=torch.bool, device=part.device)
        flags[objects] = part
        of_images.append(flags)
    return of_images


def without_dropped(match: Match, dropped: Sequence[torch.Tensor]) -> Match:
    """Return the pairs of queries and objects of each image, without those of dropped objects.

    Args:
        match: of each image, [F] queries and the [F] objects that they are matched to.
        dropped: of each image, [N] bool by object.
    """
    kept = [~of_image[objects] for (_, objects), of_image in zip(match, dropped, strict=True)]
    return [(queries[k], objects[k]) for (queries, objects), k in zip(match, kept, strict=True)]


def silenced(logits: torch.Tensor, match: Match, dropped: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return class logits [B,Q,C] in which the queries of dropped objects say nothing, without gradient.

    A query that is taken from its object would else be taught that there is nothing.
    """
    silent = torch.zeros(logits.shape[:2], dtype=torch.bool, device=logits.device)
    for image, ((queries, objects), of_image) in enumerate(zip(match, dropped, strict=True)):
        silent[image, queries[of_image[objects]].to(silent.device)] = True
    return logits.masked_fill(silent[..., None], SILENT)
