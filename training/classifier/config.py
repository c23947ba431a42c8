"""Settings of the classifier's training."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from models.nets.cam_settings import Architecture, WeakTrSettings
from models.ranges import From0, Seed, Share, WholeFrom0, WholeFrom1
from training.runs.settings import Precision, check_loss_weights
from weaksam.errors import UserError


@dataclass(frozen=True)
class CamConfig:
    """Settings of `train_cam`.

    Attributes:
        backbone: a timm model.
        backbone_weights: as `models.nets.backbone.create_backbone` takes them.
        side_px: side of the square input.
        steps, batch: optimiser steps, and inputs of each.
        mosaic_prob: share of the batches whose inputs are 2x2 mosaics.
        background_share: share of an image that must say no to its tags, see `cnn_losses`.
        objectness_from: folder of a bundle or of a compact SAM whose prompt map says which share that is; without it
            each class's own lowest positions are.
        backbone_lr_scale: slows the pre-trained part.
        loss_weights: of loss terms by their names in the log; a term that is not named counts 1.
        weaktr: for the architecture of that name.
    """

    backbone: str
    backbone_weights: str
    side_px: WholeFrom1
    steps: WholeFrom0
    batch: WholeFrom1
    mosaic_prob: Share
    background_share: float
    lr: From0
    backbone_lr_scale: From0
    weight_decay: From0
    warmup_steps: WholeFrom0
    precision: Precision = "bf16-mixed"
    seed: Seed = 7
    loader_workers: WholeFrom0 = 1
    checkpoint_steps: WholeFrom1 = 100
    architecture: Architecture = "cnn"
    weaktr: WeakTrSettings = field(default_factory=WeakTrSettings)
    loss_weights: dict[str, From0] = field(default_factory=dict)
    objectness_from: Path | None = None

    def __post_init__(self) -> None:
        if not 0 < self.background_share <= 1:
            raise UserError(f"background_share: must be above 0, at most 1, got {self.background_share}")
        if self.objectness_from is not None and (self.architecture != "cnn" or self.background_share == 1):
            raise UserError(
                "objectness_from: needs architecture = 'cnn' and a background_share below 1, "
                f"got {self.architecture!r} and {self.background_share}"
            )
        check_loss_weights(self.loss_weights, self.loss_terms)

    @property
    def loss_terms(self) -> tuple[str, ...]:
        """Names of the terms of `cnn_losses` or `weaktr_losses`."""
        if self.architecture == "weaktr":
            return ("loss_class_tokens", "loss_coarse", "loss_fine", "loss_background")
        return ("loss_tags", "loss_background")
