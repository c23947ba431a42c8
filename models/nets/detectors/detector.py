"""What a detector is, whichever network it may be: it learns from boxes, and detects the allowed classes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import torch
from torch import nn

from models.nets.backbone import create_backbone
from models.nets.detectors.output import DetectorTensors
from models.nets.detectors.settings import DropRule, NetSettings
from models.nets.detectors.targets import Foreground, Target, freeze_norm


class Detector(nn.Module, ABC):
    """The retrained detector, and with masks the instance segmenter; sides of images are multiples of 32.

    Attributes:
        drop_rule: what the next forward passes drop; None drops nothing. It is no argument of `forward`, because
            Lightning Fabric casts those to the precision of a run and refuses frozen dataclasses.
    """

    def __init__(self, settings: NetSettings) -> None:
        super().__init__()
        self.settings = settings
        self.drop_rule: DropRule | None = None

    @property
    @abstractmethod
    def backbone(self) -> nn.Module:
        """The part that is pre-trained."""

    @property
    def output_names(self) -> tuple[str, ...]:
        """What `detect` gives, as the graph `detector` names it."""
        return ("boxes", "labels", "scores")

    @property
    def any_size(self) -> bool:
        """Whether a traced graph takes images of other sizes than the one that it was traced with."""
        return True

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.settings.frozen_norm:
            freeze_norm(self.backbone)
        return self

    @abstractmethod
    def forward(
        self, image_bhwc_u8: torch.Tensor, targets: Sequence[Target]
    ) -> tuple[dict[str, torch.Tensor], Foreground]:
        """Return the losses of a batch [B,S,S,3], and what of it drop has judged."""

    @abstractmethod
    def detect(self, image_bhwc_u8: torch.Tensor, allowed: torch.Tensor) -> DetectorTensors:
        """Detect the allowed classes in one image uint8 [1,H,W,3]; no other class takes part in anything.

        ``allowed`` [C] is above 0.5 for a class that is allowed.
        """


def create_detector_backbone(settings: NetSettings, weights: str) -> nn.Module:
    """Return the backbone of the settings, with ``weights`` as `create_backbone` takes them."""
    backbone = create_backbone(settings.backbone, weights)
    if settings.frozen_norm:
        freeze_norm(backbone)
    return backbone
