"""What the query detectors share: our backbone in the place of theirs, and heads that know the allowed classes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn
from torchvision.ops import box_convert

from models.nets.backbone import backbone_maps, feature_widths
from models.nets.detectors.targets import Target


class BackboneMaps(nn.Module):
    """Our backbone as `transformers` calls one: images [B,3,H,W] in [-1, 1] to float32 maps, the finest first.

    Attributes:
        channels: of the maps.
        mixed: compute in the mixed precision of the run. The queries do not: half precision is off by pixels.
    """

    def __init__(self, backbone: nn.Module, levels: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.channels = feature_widths(backbone)[-levels:]
        self.mixed = False

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        with torch.autocast(image.device.type, dtype=torch.bfloat16, enabled=self.mixed):
            maps = backbone_maps(self.backbone, image)[-len(self.channels) :]
        return [features.float() for features in maps]

    @contextmanager
    def alone_in_mixed_precision(self, device_type: str) -> Iterator[None]:
        """Compute in single precision all that is not this backbone."""
        self.mixed = torch.is_autocast_enabled(device_type)
        try:
            with torch.autocast(device_type, enabled=False):
                yield
        finally:
            self.mixed = False


class ClassHead(nn.Linear):
    """A linear layer to class logits, on which classes that are not allowed get no chance.

    They leave before any queries are selected by their best class, so that they take no query from an allowed one.
    """

    forbidden: torch.Tensor | None = None

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        logits = super().forward(vectors)
        return logits if self.forbidden is None else logits.masked_fill(self.forbidden, -math.inf)


def forbid(heads: Sequence[ClassHead], allowed: torch.Tensor | None) -> None:
    """Tell the heads which classes are allowed: those above 0.5 in ``allowed`` [C]; None allows all."""
    for head in heads:
        head.forbidden = None if allowed is None else allowed < 0.5


def box_targets(targets: Sequence[Target], size_hw: Sequence[int]) -> list[dict[str, Any]]:
    """Return targets as the query losses take them: classes from 0, boxes as centre and size, in shares of the image.

    Args:
        targets: boxes in input pixels.
        size_hw: of the input.
    """
    height, width = size_hw
    scale = torch.tensor([width, height, width, height])
    return [
        {
            "class_labels": target.labels - 1,
            "boxes": box_convert(target.boxes_xyxy / scale.to(target.boxes_xyxy), "xyxy", "cxcywh"),
        }
        for target in targets
    ]


class MaskTargets(NamedTuple):
    """What is to be found in each image: labels [N] from 0, and float32 masks [N,H,W] of 0 and 1."""

    labels: list[torch.Tensor]
    masks: list[torch.Tensor]


def mask_targets_of(targets: Sequence[Target]) -> MaskTargets:
    """Return targets as Mask2Former's losses take them."""
    return MaskTargets([target.labels - 1 for target in targets], [target.masks.float() for target in targets])
