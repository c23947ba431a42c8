"""Losses of weakly supervised detection: WSDDN's image-level loss and OICR's refinements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional
from torchvision.ops import box_iou

from models.nets.wsod import WsodOutput
from models.postprocess import DELTA_WEIGHTS

POSITIVE_IOU = 0.5  # the paper's, for learning; `training.metrics.hits` has what counts as a hit


@dataclass(frozen=True)
class SeedRule:
    """How the best proposal of a tag is chosen and weighed.

    The highest score ** score_power * predicted IoU ** prior_power * overlap with the class's activation map **
    cam_power is chosen. OICR takes the score alone (1, 0, 0). A prior keeps the first seeds, whose scores are noise, on
    objects; the map tells a whole from its parts. With ``weigh_by_score`` a seed's proposals count
    by its score, as in OICR; without it they all count 1.
    """

    score_power: float
    prior_power: float
    cam_power: float
    weigh_by_score: bool


@dataclass(frozen=True)
class Seeds:
    """What proposals are labelled from: ``boxes_xyxy`` [K,4], ``labels`` [K] class indices, ``weights`` [K]."""

    boxes_xyxy: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor


@dataclass(frozen=True)
class RoiTargets:
    """Per proposal: ``labels`` [P] (0 background, 1+class), and of the nearest seed ``weights`` [P] and boxes [P,4]."""

    labels: torch.Tensor
    weights: torch.Tensor
    boxes_xyxy: torch.Tensor


SeedMiner = Callable[[torch.Tensor], Seeds]  # from scores [P,C] of the stage before


def mine_seeds(
    scores: torch.Tensor, prior: torch.Tensor, boxes: torch.Tensor, tags: torch.Tensor, rule: SeedRule
) -> Seeds:
    """Return the best proposal of each tag (OICR, arXiv 1704.00138, algorithm 1, with a prior).

    Args:
        scores: [P,C] of the previous stage.
        prior: [P,C] of `seed_prior`.
        boxes: [P,4].
        tags: [C] zeros and ones.
        rule: how seeds are chosen and weighed.
    """
    labels = tags.nonzero()[:, 0]
    best = seed_merit(scores[:, labels], prior[:, labels], rule).argmax(dim=0)
    weights = scores[best, labels]
    return Seeds(boxes[best], labels, weights if rule.weigh_by_score else torch.ones_like(weights))


def seed_prior(predicted_iou: torch.Tensor, cam_overlap: torch.Tensor, rule: SeedRule) -> torch.Tensor:
    """Return what is known of proposals before anything is learnt [P,C].

    Args:
        predicted_iou: [P] above 0, the segmenter's estimate of each proposal's mask.
        cam_overlap: [P,C] above 0, with the activation map of each class.
        rule: the powers of both.
    """
    return predicted_iou[:, None] ** rule.prior_power * cam_overlap**rule.cam_power


def seed_merit(scores: torch.Tensor, prior: torch.Tensor, rule: SeedRule) -> torch.Tensor:
    """Return the merit [P,T] that seeds are chosen by, from scores and priors [P,T] of the tags."""
    return scores.clamp(min=1e-8) ** rule.score_power * prior


def assign_targets(seeds: Seeds, boxes: torch.Tensor) -> RoiTargets:
    """Label proposals [P,4] by their nearest seed: its class from IoU 0.5 on, else background. Its weight is kept."""
    if not len(seeds.labels):
        zeros = boxes.new_zeros(len(boxes))
        return RoiTargets(zeros.long(), zeros + 1, boxes)
    overlap, nearest = box_iou(boxes, seeds.boxes_xyxy).max(dim=1)
    labels = torch.where(overlap >= POSITIVE_IOU, seeds.labels[nearest] + 1, 0)
    return RoiTargets(labels, seeds.weights[nearest], seeds.boxes_xyxy[nearest])


def wsddn_loss(wsddn: torch.Tensor, tags: torch.Tensor) -> torch.Tensor:
    """Return the cross entropy of summed proposal scores [P,C] and tags [C] (WSDDN, arXiv 1511.02853, eq. 4)."""
    image_scores = wsddn.sum(dim=0).clamp(1e-6, 1 - 1e-6)
    return functional.binary_cross_entropy(image_scores, tags, reduction="sum")


def refinement_loss(logits: torch.Tensor, targets: RoiTargets) -> torch.Tensor:
    """Return the weighted cross entropy of logits [P,1+C] (OICR, eq. 4)."""
    entropy = functional.cross_entropy(logits, targets.labels, reduction="none")
    return (targets.weights * entropy).mean()


def box_loss(deltas: torch.Tensor, boxes: torch.Tensor, targets: RoiTargets) -> torch.Tensor:
    """Return the smooth L1 loss of class-agnostic deltas [P,K,4] of positive proposals against their seeds.

    It is the mean over all proposals and over the K regressors.
    """
    positive = targets.labels > 0
    wanted = encode_deltas(boxes[positive], targets.boxes_xyxy[positive])[:, None].expand(-1, deltas.shape[1], -1)
    terms = functional.smooth_l1_loss(deltas[positive], wanted, reduction="none", beta=1.0)
    loss = terms.sum(dim=2).mean(dim=1)
    return (targets.weights[positive] * loss).sum() / max(1, len(boxes))


def encode_deltas(boxes_xyxy: torch.Tensor, wanted_xyxy: torch.Tensor) -> torch.Tensor:
    """Return the deltas [N,4] with which `models.postprocess.apply_deltas` turns the boxes into the wanted ones."""
    sides, wanted_sides = (b[:, 2:] - b[:, :2] for b in (boxes_xyxy, wanted_xyxy))
    centres = boxes_xyxy[:, :2] + sides / 2
    wanted_centres = wanted_xyxy[:, :2] + wanted_sides / 2
    raw = torch.cat([(wanted_centres - centres) / sides, (wanted_sides / sides).log()], dim=1)
    return raw * raw.new_tensor(DELTA_WEIGHTS)


def tag_supervised_losses(
    output: WsodOutput, boxes: torch.Tensor, tags: torch.Tensor, mine: SeedMiner
) -> dict[str, torch.Tensor]:
    """Return an image's loss terms from its tags [C]; each refinement learns from seeds of the stage before it."""
    losses = {"loss_wsddn": wsddn_loss(output.wsddn, tags)}
    previous = output.wsddn.detach()
    for number, logits in enumerate(output.refined, start=1):
        targets = assign_targets(mine(previous), boxes)
        losses[f"loss_refine_{number}"] = refinement_loss(logits, targets)
        previous = logits.detach().softmax(dim=1)[:, 1:]
    losses["loss_box"] = box_loss(output.deltas, boxes, targets)
    return losses


def box_supervised_losses(
    output: WsodOutput, boxes: torch.Tensor, tags: torch.Tensor, true_boxes: torch.Tensor, true_labels: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Return the same terms for the fully supervised twin: true boxes [K,4] and classes [K] in place of seeds."""
    targets = assign_targets(Seeds(true_boxes, true_labels, true_boxes.new_ones(len(true_labels))), boxes)
    losses = {"loss_wsddn": wsddn_loss(output.wsddn, tags)}
    for number, logits in enumerate(output.refined, start=1):
        losses[f"loss_refine_{number}"] = refinement_loss(logits, targets)
    return losses | {"loss_box": box_loss(output.deltas, boxes, targets)}
