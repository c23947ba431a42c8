"""What D-FINE learns by, with query drop: objects that the network has come to disagree with get no weight.

The terms are those of `transformers`: varifocal, L1 and generalised IoU, and D-FINE's two losses of box corners as
distributions. Here they are put together so that each layer's corners are compared with the same layer's boxes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional
from torchvision.ops import box_convert, generalized_box_iou
from transformers import DFineConfig
from transformers.loss.loss_d_fine import DFineLoss

from models.nets.detectors.drop_rule import exceeds_both, mean_over_ranks
from models.nets.detectors.query_drop import Match, Matched, by_object, silenced, without_dropped
from models.nets.detectors.settings import DropRule

# By the names of `transformers`, what the log calls them.
TERMS = {
    "loss_vfl": "loss_class",
    "loss_bbox": "loss_box",
    "loss_giou": "loss_giou",
    "loss_fgl": "loss_corners",
    "loss_ddf": "loss_distillation",
}
DENOISING = "loss_denoising"
Layer = dict[str, torch.Tensor]
Targets = Sequence[Mapping[str, torch.Tensor]]


def dfine_losses(
    output: Any, targets: Targets, config: DFineConfig, rule: DropRule | None
) -> tuple[dict[str, torch.Tensor], Matched]:
    """Return the loss terms of a batch, summed over layers by D-FINE's own weights, and what was matched.

    The last layer judges: an object is dropped if its query's classification loss (cross entropy of the object's class)
    and its box loss (L1 and generalised IoU by their weights) both exceed the rule's thresholds. A dropped object has
    no weight in any layer, nor have the denoising queries made from it. The normaliser, the number of objects, counts
    it: else the others would pull harder the more is dropped.

    Args:
        output: of `DFineModel` in training.
        targets: as `box_targets` gives them.
        config: weights of the terms.
        rule: None drops nothing.
    """
    terms = DFineLoss(config).to(output.intermediate_logits.device)
    noised, layers = _layers(output)
    matches = [_on(terms.matcher(layer, targets), targets) for layer in layers]
    judged = _judge(layers[-1], matches[-1], targets, config)
    dropped = exceeds_both(judged.detach(), rule)
    of_images = by_object(dropped, matches[-1], [target["class_labels"] for target in targets])
    count = mean_over_ranks(sum(len(target["class_labels"]) for target in targets), dropped.device)
    losses = {name: judged.new_zeros(()) for name in TERMS.values()}
    for layer, match in zip(layers, matches, strict=True):
        for name, loss in _layer_losses(terms, layer, match, targets, of_images, count).items():
            losses[TERMS[name]] = losses[TERMS[name]] + loss
    if output.denoising_meta_values is not None:
        losses[DENOISING] = _denoising_loss(terms, noised, output.denoising_meta_values, targets, of_images, count)
    elif config.num_denoising:
        losses[DENOISING] = judged.new_zeros(())  # no image of the batch has an object
    return losses, Matched([objects for _, objects in matches[-1]], judged, dropped)


def _layers(output: Any) -> tuple[list[Layer], list[Layer]]:
    """Return what the decoder's layers say, of the noised queries and of the others, with the encoder's first."""
    meta = output.denoising_meta_values
    noised_count = 0 if meta is None else meta["dn_num_split"][0]
    logits, boxes = output.intermediate_logits, output.intermediate_reference_points.clamp(0, 1)  # [B,1+L,Q,_]
    corners, references = output.intermediate_predicted_corners, output.initial_reference_points  # [B,L,Q,_]
    noised: list[Layer] = []
    others: list[Layer] = [{"logits": output.enc_topk_logits, "pred_boxes": output.enc_topk_bboxes.clamp(0, 1)}]
    for part, rows in ((noised, slice(0, noised_count)), (others, slice(noised_count, None))):
        part.append({"logits": logits[:, 0, rows], "pred_boxes": boxes[:, 0, rows]})
        part.extend(
            {
                "logits": logits[:, 1 + i, rows],
                "pred_boxes": boxes[:, 1 + i, rows],
                "pred_corners": corners[:, i, rows],
                "ref_points": references[:, i, rows],
                "teacher_corners": corners[:, -1, rows].detach(),
                "teacher_logits": logits[:, -1, rows].detach(),
            }
            for i in range(corners.shape[1])
        )
    return noised, others


def _judge(layer: Layer, match: Match, targets: Targets, config: DFineConfig) -> torch.Tensor:
    """Return the losses [F,2] of matched queries, classification and box, without gradient."""
    rows = zip(layer["logits"].detach(), layer["pred_boxes"].detach(), match, targets, strict=True)
    parts = [
        _judge_image(logits[queries], boxes[queries], target["class_labels"][objects], target["boxes"][objects], config)
        for logits, boxes, (queries, objects), target in rows
    ]
    return torch.cat(parts)


def _judge_image(
    logits: torch.Tensor, boxes: torch.Tensor, labels: torch.Tensor, wanted: torch.Tensor, config: DFineConfig
) -> torch.Tensor:
    of_class = functional.softplus(-logits.gather(1, labels[:, None])[:, 0])
    corners, wanted_corners = (box_convert(part, "cxcywh", "xyxy") for part in (boxes, wanted))
    distance = (boxes - wanted).abs().sum(dim=1)
    apart = 1 - generalized_box_iou(corners, wanted_corners).diagonal()
    return torch.stack([of_class, config.weight_loss_bbox * distance + config.weight_loss_giou * apart], dim=1)


def _layer_losses(
    terms: DFineLoss, layer: Layer, match: Match, targets: Targets, dropped: Sequence[torch.Tensor], count: float
) -> dict[str, torch.Tensor]:
    """Return a layer's weighted terms, from which dropped objects and the queries matched to them are left out."""
    return _weighted(terms, _silenced(layer, match, dropped), without_dropped(match, dropped), targets, count)


def _denoising_loss(
    terms: DFineLoss,
    noised: Sequence[Layer],
    meta: Mapping[str, Any],
    targets: Targets,
    dropped: Sequence[torch.Tensor],
    count: float,
) -> torch.Tensor:
    """Return the sum of all terms over noised queries; those made from dropped objects are left out."""
    widest = max(len(target["class_labels"]) for target in targets)
    groups, device = meta["dn_num_group"], dropped[0].device
    # Query q of an image is made from its object q % widest, whether it is to find it or to find nothing.
    source = torch.arange(meta["dn_num_split"][0], device=device) % widest
    made = [(torch.arange(len(source), device=device), source) for _ in targets]
    to_find = [
        (queries, torch.arange(len(flags), device=device).tile(groups))
        for queries, flags in zip(meta["dn_positive_idx"], dropped, strict=True)
    ]
    padded = [functional.pad(flags, (0, widest - len(flags))) for flags in dropped]
    kept = without_dropped(to_find, dropped)
    losses = [
        loss
        for layer in noised
        for loss in _weighted(terms, _silenced(layer, made, padded), kept, targets, count * groups).values()
    ]
    return torch.stack(losses).sum()


def _silenced(layer: Layer, match: Match, dropped: Sequence[torch.Tensor]) -> Layer:
    spoken = {"logits", "teacher_logits"}
    return {name: silenced(said, match, dropped) if name in spoken else said for name, said in layer.items()}


def _weighted(terms: DFineLoss, layer: Layer, match: Match, targets: Targets, count: float) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for kind in terms.losses:
        found |= terms.get_loss(kind, layer, targets, match, count)
    return {name: terms.weight_dict[name] * loss for name, loss in found.items()}


def _on(match: Match, targets: Targets) -> Match:
    """Return a match, which the matcher makes on the CPU, on the device of the targets."""
    device = targets[0]["boxes"].device
    return [(queries.to(device), objects.to(device)) for queries, objects in match]
