"""MIST (arXiv 2004.04725): each refinement learns from many seeds of a tag and has its own box regression."""

from __future__ import annotations

import torch
from torchvision.ops import box_iou

from models.nets.wsod import WsodOutput
from training.wsod.config import MistSettings
from training.wsod.oicr import (
    SeedMiner,
    SeedRule,
    Seeds,
    assign_targets,
    box_loss,
    refinement_loss,
    seed_merit,
    wsddn_loss,
)


def mine_many_seeds(
    scores: torch.Tensor,
    prior: torch.Tensor,
    boxes: torch.Tensor,
    tags: torch.Tensor,
    rule: SeedRule,
    settings: MistSettings,
) -> Seeds:
    """Return several proposals of each tag (MIST, algorithm 1): the best ones, greedily, if they lie apart.

    The ``rule`` decides what is best; with powers 1 and 0 the score does, as in the paper. Seeds come in the order of
    their scores, so that of two tags on one proposal the better one gets it (see `assign_targets`).

    Args:
        scores: [P,C] of the previous stage.
        prior: [P,C] of `seed_prior`.
        boxes: [P,4].
        tags: [C] zeros and ones.
        rule: how proposals are ranked and weighed.
        settings: how many seeds, and how far apart.
    """
    max_seeds = max(1, int(settings.seed_share * len(boxes) + 1e-6))
    rows: list[int] = []
    labels: list[int] = []
    for label in tags.nonzero()[:, 0].tolist():
        merit = seed_merit(scores[:, label], prior[:, label], rule)
        best = merit.argsort(descending=True, stable=True)[:max_seeds]
        apart = best[_lying_apart(boxes[best], settings.seed_iou)].tolist()
        rows += apart
        labels += [label] * len(apart)
    found, of = torch.tensor([rows, labels], dtype=torch.long, device=boxes.device)
    weights, order = scores[found, of].sort(descending=True, stable=True)
    return Seeds(boxes[found[order]], of[order], weights if rule.weigh_by_score else torch.ones_like(weights))


def _lying_apart(boxes: torch.Tensor, seed_iou: float) -> list[int]:
    near = (box_iou(boxes, boxes) >= seed_iou).tolist()
    kept: list[int] = []
    for index in range(len(near)):
        if not any(near[index][better] for better in kept):
            kept.append(index)
    return kept


def mist_losses(
    output: WsodOutput, boxes: torch.Tensor, tags: torch.Tensor, mine: SeedMiner
) -> dict[str, torch.Tensor]:
    """Return an image's unweighted loss terms from its tags [C]; each refinement learns from the stage before it."""
    losses = {"loss_wsddn": wsddn_loss(output.wsddn, tags)}
    previous = output.wsddn.detach()
    for index, logits in enumerate(output.refined):
        targets = assign_targets(mine(previous), boxes)
        losses[f"loss_refine_{index + 1}"] = refinement_loss(logits, targets)
        losses[f"loss_box_{index + 1}"] = box_loss(output.deltas[:, index : index + 1], boxes, targets)
        previous = logits.detach().softmax(dim=1)[:, 1:]
    return losses


def mist_loss_weights(settings: MistSettings) -> dict[str, float]:
    """Return the weights of the terms of `mist_losses` that do not count 1."""
    return {"loss_refine_1": settings.first_weight, "loss_box_1": settings.first_weight}
