"""Settings of the classifier's training."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.nets.cam_nets import Architecture
from models.nets.weaktr import WeakTrSettings
from training.runs.devices import Precision
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
        background_share: see `background_loss`.
        backbone_lr_scale: slows the pre-trained part.
        loss_weights: of loss terms by their names in the log; a term that is not named counts 1.
        weaktr: for the architecture of that name.
    """

    backbone: str
    backbone_weights: str
    side_px: int
    steps: int
    batch: int
    mosaic_prob: float
    background_share: float
    lr: float
    backbone_lr_scale: float
    weight_decay: float
    warmup_steps: int
    precision: Precision = "bf16-mixed"
    seed: int = 7
    loader_workers: int = 1
    checkpoint_steps: int = 100
    architecture: Architecture = "cnn"
    weaktr: WeakTrSettings = field(default_factory=WeakTrSettings)
    loss_weights: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.background_share <= 1:
            raise UserError(f"background_share: must be above 0, at most 1, got {self.background_share}")
