"""Settings of the detector's training."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from models.nets.detectors.settings import DetectorSettings, DropRule
from models.ranges import Above0, From0, Seed, Share, WholeFrom0, WholeFrom1
from training.runs.settings import Precision, check_loss_weights
from weaksam.errors import UserError


@dataclass(frozen=True, kw_only=True)
class DetectorConfig(DetectorSettings):
    """Settings of `train_detector`.

    Attributes:
        architecture, net, rcnn, dfine, mask2former: the network, see `DetectorSettings`.
        backbone_weights: as `models.nets.backbone.create_backbone` takes them.
        side_px: side of the images that the detector is served with.
        train_sides_px: sides in training, one drawn for each batch (multi-scale training).
        mosaic_prob: share of the batches of 2x2 mosaics.
        steps, batch: optimiser steps, and images of each.
        optimizer: ``adamw``, or ``sgd`` with a momentum of 0.9.
        backbone_lr_scale: slows the pre-trained part.
        max_gradient_norm: longer gradients are cut to it.
        drop: RoI drop or query drop, see `models.nets.detectors.rcnn_losses` and ``query_drop``.
        drop_from_step: its warm-up; nothing is dropped before. At ``steps`` or more drop is off.
        test_sides_px: sides for test-time augmentation, which the report then compares. It is never served.
        cam_checkpoint: a classifier whose backbone, the same as this one's, is the start: ``cam.safetensors``, the
            folder of its run, or a bundle.
        supervision: ``tags``, or ``boxes`` for the fully supervised twin on the images of the same pseudo ground
            truth.
        loss_weights: of loss terms by their names in the log; a term that is not named counts 1.
    """

    backbone_weights: str
    side_px: WholeFrom1
    train_sides_px: tuple[WholeFrom1, ...]
    mosaic_prob: Share
    steps: WholeFrom0
    batch: WholeFrom1
    optimizer: Literal["adamw", "sgd"]
    lr: From0
    backbone_lr_scale: From0
    weight_decay: From0
    warmup_steps: WholeFrom0
    drop: DropRule
    drop_from_step: WholeFrom0
    max_gradient_norm: Above0 = 10.0
    precision: Precision = "bf16-mixed"
    seed: Seed = 7
    loader_workers: WholeFrom0 = 1
    checkpoint_steps: WholeFrom1 = 100
    test_sides_px: tuple[WholeFrom1, ...] = ()
    cam_checkpoint: Path | None = None
    supervision: Literal["tags", "boxes"] = "tags"
    loss_weights: dict[str, From0] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.train_sides_px:
            raise UserError("train_sides_px: give at least one side")
        for name, sides in (("side_px", (self.side_px,)), ("train_sides_px", self.train_sides_px)):
            if any(side < 64 or side % 32 for side in sides):
                raise UserError(f"{name}: must be multiples of 32 from 64 on, got {list(sides)}")
        check_loss_weights(self.loss_weights, self.loss_terms)
