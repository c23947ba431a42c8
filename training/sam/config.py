"""Settings of the compact SAM's training."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from models.ranges import From0, Seed, Share, WholeFrom0, WholeFrom1
from training.runs.settings import Precision, check_loss_weights
from weaksam.errors import UserError

SIDE_MULTIPLE_PX = 32  # the coarsest stride
PROMPT_MAP_LOSS = "loss_prompt_map"


@dataclass(frozen=True)
class SourceConfig:
    """A COCO-layout data set with masks; images are drawn from it with ``weight``, beside `SamConfig.shapes_weight`.

    Its domains are the folders that its images lie in. Those of ``exclude_domains`` are never seen, so that they can
    tell afterwards what things of another kind get.
    """

    data: Path
    weight: From0
    split: str = "train"
    exclude_domains: tuple[str, ...] = ()


@dataclass(frozen=True)
class SamConfig:
    """Settings of `train_sam`; ``steps`` optimiser steps of ``batch_images`` images of ``side_px`` pixels.

    Attributes:
        initial: checkpoint, bundle or run to go on from, at any ``side_px``: no weight depends on the size.
        early_steps, early_side_px: the first steps may be of smaller images, which cost less.
        group_share, correct_share: of batches: ask with several points, or with a click where a first answer was wrong.
        point_share: of the prompts of all other batches, and of the batches that are corrected: points, not boxes.
        prompt_map: the network also learns where to ask.
        shapes_weight: of generated images, beside the weights of the sources.
        pasted_shapes_share: of the crops of photographs: generated shapes of several parts are pasted on them.
        loss_weights: win over those of `training.sam.train`, term by term.
    """

    backbone: str
    backbone_weights: str
    side_px: WholeFrom1
    steps: WholeFrom0
    batch_images: WholeFrom1
    prompts_per_image: WholeFrom1
    point_share: Share
    group_share: Share
    lr: From0
    weight_decay: From0
    warmup_steps: WholeFrom0
    precision: Precision
    seed: Seed
    loader_workers: WholeFrom0
    checkpoint_steps: WholeFrom1
    initial: Path | None = None
    correct_share: Share = 0.0
    prompt_map: bool = False
    shapes_weight: From0 = 1.0
    pasted_shapes_share: Share = 0.0
    sources: tuple[SourceConfig, ...] = ()
    early_steps: WholeFrom0 = 0
    early_side_px: WholeFrom1 | None = None
    loss_weights: dict[str, From0] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.early_steps > 0 and self.early_side_px is None:
            raise UserError(f"early_side_px: is missing, give the images' side in the {self.early_steps} early_steps")
        if self.group_share + self.correct_share > 1:
            raise UserError(f"group_share, correct_share: {self.group_share} and {self.correct_share} exceed 1")
        for name in ("side_px", "early_side_px"):
            side_px = getattr(self, name)
            if side_px is not None and side_px % SIDE_MULTIPLE_PX:
                raise UserError(f"{name}: is {side_px}, give a multiple of {SIDE_MULTIPLE_PX}")
        check_loss_weights(self.loss_weights, self.loss_terms)

    @property
    def loss_terms(self) -> tuple[str, ...]:
        """Names of the terms of `SamLosses`."""
        of_masks = ("loss_focal", "loss_dice", "loss_iou", "loss_rank")
        return (*of_masks, PROMPT_MAP_LOSS) if self.prompt_map else of_masks

    def side_px_at(self, step: int) -> int:
        """Side of the images of one step's batch."""
        return self.side_px if self.early_side_px is None or step >= self.early_steps else self.early_side_px
