"""The classifiers that `weaksam train cam` knows, and their maps averaged over views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from models.config import config_from_values
from models.nets.cam import CnnCam, build_cnn_cam
from models.nets.cam_settings import Architecture, WeakTrSettings
from models.nets.weaktr import WeakTr, build_weaktr

CamNet = CnnCam | WeakTr


def build_cam(
    architecture: Architecture,
    backbone: str,
    classes: int,
    side_px: int,
    weaktr: WeakTrSettings,
    weights: str = "none",
) -> CamNet:
    """Build the network of a classifier's settings; raises UserError if they do not fit together."""
    if architecture == "weaktr":
        return build_weaktr(backbone, classes, side_px, weaktr, weights)
    return build_cnn_cam(backbone, classes, weights)


def build_cam_of_run(config: Mapping[str, Any], classes: int) -> CamNet:
    """Build the network of a run's ``config.json``; runs made before there was WeakTr name no architecture."""
    weaktr = config_from_values(WeakTrSettings, config.get("weaktr", {}), "weaktr")
    return build_cam(config.get("architecture", "cnn"), config["backbone"], classes, config["side_px"], weaktr)


class AveragedCam(nn.Module):
    """A classifier whose logits and maps are the mean over scales and left-right flips of the image.

    For training's proposals alone: each view costs a forward pass.

    Args:
        net: the classifier.
        side_px: side of the square images.
        scales: factors of ``side_px``, rounded to what the network takes.
        flip: whether each scale is seen mirrored as well.
    """

    def __init__(self, net: CamNet, side_px: int, scales: Sequence[float], flip: bool) -> None:
        super().__init__()
        self.net = net
        multiple = net.side_multiple_px
        self.sides_px = [max(1, round(scale * side_px / multiple)) * multiple for scale in scales]
        self.map_hw = [side_px // net.stride_px] * 2
        self.flips = (False, True) if flip else (False,)

    @property
    def map_kinds(self) -> tuple[str, ...]:
        """Names of the maps of `tag_maps`, in their order."""
        return self.net.map_kinds

    def tag_maps(self, image_bhwc_u8: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return tag logits [B,C] and maps [B,K,C,h,w] of images uint8 [B,S,S,3], at the unscaled size."""
        views = [self._view(image_bhwc_u8, side_px, flip) for side_px in self.sides_px for flip in self.flips]
        logits, maps = zip(*views, strict=True)
        return torch.stack(logits).mean(dim=0), torch.stack(maps).mean(dim=0)

    def _view(self, image_bhwc_u8: torch.Tensor, side_px: int, flip: bool) -> tuple[torch.Tensor, torch.Tensor]:
        image = image_bhwc_u8.permute(0, 3, 1, 2).float()
        image = functional.interpolate(image, (side_px, side_px), mode="bilinear", align_corners=False)
        logits, maps = self.net.tag_maps((image.flip(3) if flip else image).permute(0, 2, 3, 1))
        maps = maps.flip(4) if flip else maps
        _, kinds, classes, _, _ = maps.shape
        resized = functional.interpolate(maps.flatten(1, 2), self.map_hw, mode="bilinear", align_corners=False)
        return logits, resized.reshape(-1, kinds, classes, *self.map_hw)
