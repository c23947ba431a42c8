"""What Mask2Former learns by, with query drop: objects that the network has come to disagree with get no weight.

Matching and mask losses are those of `transformers`; the class loss is ours, since theirs has no weights of queries.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional
from transformers import Mask2FormerConfig
from transformers.models.mask2former.modeling_mask2former import Mask2FormerLoss

from models.nets.detectors.drop_rule import exceeds_both, mean_over_ranks
from models.nets.detectors.query_drop import Match, Matched, by_object, without_dropped
from models.nets.detectors.query_parts import MaskTargets
from models.nets.detectors.settings import DropRule


def mask2former_losses(
    logits: Sequence[torch.Tensor],
    masks: Sequence[torch.Tensor],
    targets: MaskTargets,
    config: Mask2FormerConfig,
    rule: DropRule | None,
) -> tuple[dict[str, torch.Tensor], Matched]:
    """Return the loss terms of a batch, summed over layers by the published weights, and what was matched.

    The last layer judges: an object is dropped if its query's classification loss (cross entropy of its class) and its
    mask loss (cross entropy and dice by their weights) both exceed the rule's thresholds. A dropped object has no
    weight in any layer. The normalisers count it: else the others would pull harder the more is dropped.

    Args:
        logits: [B,Q,C+1] of each layer, the last class for nothing.
        masks: [B,Q,h,w] logits of each layer.
        targets: labels and masks of each image.
        config: weights of the terms.
        rule: None drops nothing.
    """
    terms = Mask2FormerLoss(config, {}).to(logits[0].device)
    layers = list(zip(logits, masks, strict=True))
    matches = [_match(terms, *layer, targets) for layer in layers]
    judged = _judge(*layers[-1], matches[-1], targets, config)
    dropped = exceeds_both(judged.detach(), rule)
    of_images = by_object(dropped, matches[-1], targets.labels)
    count = mean_over_ranks(sum(map(len, targets.labels)), judged.device)
    losses = {name: judged.new_zeros(()) for name in ("loss_class", "loss_mask", "loss_dice")}
    for (of_class, of_mask), match in zip(layers, matches, strict=True):
        kept = without_dropped(match, of_images)
        losses["loss_class"] = losses["loss_class"] + config.class_weight * _class_loss(
            of_class, match, of_images, targets.labels, config.no_object_weight
        )
        found = _mask_losses(terms, of_mask, kept, targets.masks, count)
        losses["loss_mask"] = losses["loss_mask"] + config.mask_weight * found["loss_mask"]
        losses["loss_dice"] = losses["loss_dice"] + config.dice_weight * found["loss_dice"]
    return losses, Matched([objects for _, objects in matches[-1]], judged, dropped)


def _match(terms: Mask2FormerLoss, logits: torch.Tensor, masks: torch.Tensor, targets: MaskTargets) -> Match:
    found = terms.matcher(masks, logits, targets.masks, targets.labels)
    return [(queries.to(logits.device), objects.to(logits.device)) for queries, objects in found]


def _judge(
    logits: torch.Tensor, masks: torch.Tensor, match: Match, targets: MaskTargets, config: Mask2FormerConfig
) -> torch.Tensor:
    """Return the losses [F,2] of matched queries, classification and mask, without gradient."""
    parts = []
    for of_class, of_mask, (queries, objects), labels, wanted in zip(
        logits.detach(), masks.detach(), match, targets.labels, targets.masks, strict=True
    ):
        entropy = functional.cross_entropy(of_class[queries], labels[objects], reduction="none")
        small = functional.adaptive_avg_pool2d(wanted[objects], of_mask.shape[-2:]).flatten(1)
        drawn = of_mask[queries].flatten(1)
        apart = functional.binary_cross_entropy_with_logits(drawn, small, reduction="none").mean(dim=1)
        shared, areas = 2 * (drawn.sigmoid() * small).sum(dim=1), drawn.sigmoid().sum(dim=1) + small.sum(dim=1)
        dice = 1 - (shared + 1) / (areas + 1)
        parts.append(torch.stack([entropy, config.mask_weight * apart + config.dice_weight * dice], dim=1))
    return torch.cat(parts)


def _class_loss(
    logits: torch.Tensor,
    match: Match,
    dropped: Sequence[torch.Tensor],
    labels: Sequence[torch.Tensor],
    nothing_weight: float,
) -> torch.Tensor:
    """Return the weighted mean of the queries' cross entropy; those of dropped objects weigh 0, and count."""
    batch, queries, width = logits.shape
    wanted = torch.full((batch, queries), width - 1, device=logits.device)
    kept = torch.ones((batch, queries), device=logits.device)
    for image, (rows, objects) in enumerate(match):
        wanted[image, rows] = labels[image][objects]
        kept[image, rows] = (~dropped[image][objects]).to(kept.dtype)
    weights = torch.where(wanted == width - 1, nothing_weight, 1.0)
    entropy = functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none").view_as(weights)
    return (weights * kept * entropy).sum() / mean_over_ranks(float(weights.sum()), logits.device)


def _mask_losses(
    terms: Mask2FormerLoss, masks: torch.Tensor, match: Match, wanted: Sequence[torch.Tensor], count: float
) -> dict[str, torch.Tensor]:
    if not sum(len(queries) for queries, _ in match):
        nothing = masks.sum() * 0
        return {"loss_mask": nothing, "loss_dice": nothing}
    found: dict[str, torch.Tensor] = terms.loss_masks(masks, list(wanted), match, count)
    return found
