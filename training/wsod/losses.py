"""The loss of a batch of images, by the method of the settings."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from models.nets.wsod import RoiHead
from training.wsod.config import WsodConfig
from training.wsod.mist import mine_many_seeds, mist_loss_weights, mist_losses
from training.wsod.oicr import (
    SeedMiner,
    SeedRule,
    Seeds,
    box_supervised_losses,
    mine_seeds,
    seed_prior,
    tag_supervised_losses,
    wsddn_loss,
)
from training.wsod.roi_store import RoiExample


class RoiBatch:
    """The images of a step, in a type that Fabric hands on as it is: it refuses frozen dataclasses."""

    def __init__(self, examples: Sequence[RoiExample]) -> None:
        self.examples = examples


class WsodLosses(nn.Module):
    """The head with its losses in one forward pass, which is what gradients are averaged over ranks around."""

    def __init__(self, head: RoiHead, config: WsodConfig) -> None:
        super().__init__()
        self.head = head
        self._config = config

    def forward(self, given: RoiBatch) -> dict[str, torch.Tensor]:
        """Return the unweighted loss terms, each averaged over the images."""
        batch = given.examples
        vectors = self.head.embed_pooled(torch.cat([example.pooled.float() for example in batch])).float()
        per_image = torch.split(vectors, [len(example.boxes_xyxy) for example in batch])
        with torch.autocast(vectors.device.type, enabled=False):  # losses of half precision would be rough
            terms = [
                _image_losses(self.head(rows), example, self._config)
                for rows, example in zip(per_image, batch, strict=True)
            ]
        return {name: torch.stack([term[name] for term in terms]).mean() for name in terms[0]}


def _image_losses(output: Any, example: RoiExample, config: WsodConfig) -> dict[str, torch.Tensor]:
    if config.supervision == "boxes":
        return box_supervised_losses(
            output, example.boxes_xyxy, example.tags, example.true_boxes_xyxy, example.true_labels
        )
    if config.method == "wsddn":
        return {"loss_wsddn": wsddn_loss(output.wsddn, example.tags)}
    losses = mist_losses if config.method == "mist" else tag_supervised_losses
    return losses(output, example.boxes_xyxy, example.tags, _seed_miner(example, config))


def _seed_miner(example: RoiExample, config: WsodConfig) -> SeedMiner:
    """Return what finds an image's seeds: those of a confirmed image are its objects, whatever the scores are."""
    if example.confirmed:
        known = Seeds(example.true_boxes_xyxy, example.true_labels, torch.ones_like(example.true_boxes_xyxy[:, 0]))
        return lambda _scores: known
    rule = SeedRule(config.score_power, config.prior_power, config.cam_power, config.weigh_by_score)
    prior = seed_prior(example.predicted_iou, example.cam_overlap, rule)
    mine = partial(mine_many_seeds, settings=config.mist) if config.method == "mist" else mine_seeds
    return partial(mine, prior=prior, boxes=example.boxes_xyxy, tags=example.tags, rule=rule)


def loss_weights(config: WsodConfig) -> dict[str, float]:
    """Return the weights of the terms of `WsodLosses`; those of the settings win over those of MIST."""
    of_mist = mist_loss_weights(config.mist) if config.method == "mist" and config.supervision == "tags" else {}
    return {**of_mist, **config.loss_weights}
