"""Settings of the compact SAM's training."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from training.runs.devices import Precision


@dataclass(frozen=True)
class SourceConfig:
    """A COCO-layout data set with masks; images are drawn from it with ``weight``, beside `SamConfig.shapes_weight`.

    Its domains are the folders that its images lie in. Those of ``exclude_domains`` are never seen, so that they can
    tell afterwards what things of another kind get.
    """

    data: Path
    weight: float
    split: str = "train"
    exclude_domains: tuple[str, ...] = ()


@dataclass(frozen=True)
class SamConfig:
    """Settings of `train_sam`; ``steps`` optimiser steps of ``batch_images`` images of ``side_px`` pixels.

    ``initial`` is a checkpoint or a bundle to go on from, at any ``side_px``: no weight depends on the size. For the
    same reason the first ``early_steps`` may be of images of ``early_side_px``, which cost less. Shares are of
    batches: ``group_share`` ask with several points, ``correct_share`` with a click where a first answer was wrong.
    With ``prompt_map`` the network also learns where to ask. ``loss_weights`` win over those of `training.sam.train`,
    term by term.
    """

    backbone: str
    backbone_weights: str
    side_px: int
    steps: int
    batch_images: int
    prompts_per_image: int
    point_share: float
    group_share: float
    lr: float
    weight_decay: float
    warmup_steps: int
    precision: Precision
    seed: int
    loader_workers: int
    checkpoint_steps: int
    initial: Path | None = None
    correct_share: float = 0.0
    prompt_map: bool = False
    shapes_weight: float = 1.0
    sources: tuple[SourceConfig, ...] = ()
    early_steps: int = 0
    early_side_px: int | None = None
    loss_weights: dict[str, float] = field(default_factory=dict)

    def side_px_at(self, step: int) -> int:
        """Side of the images of one step's batch."""
        early = self.early_side_px is not None and step < self.early_steps
        return self.early_side_px if early and self.early_side_px is not None else self.side_px
