"""Picture to features: a timm backbone whose strides are summed top-down to one map of stride 8."""

from __future__ import annotations

from typing import Any, cast

import timm
import torch
from safetensors.torch import load_file
from segment_anything.modeling.common import LayerNorm2d
from timm.models import FeatureInfo
from torch import nn
from torch.nn import functional

STRIDE_PX = 8
MEAN_RGB = (128, 128, 128)
SCALE = 1 / 127.5


def normalise_image(image_bhwc_u8: torch.Tensor) -> torch.Tensor:
    """Pictures uint8 [B,H,W,3] to float [B,3,H,W] in [-1, 1], exactly 0 at `MEAN_RGB` so that padding vanishes."""
    return (image_bhwc_u8.permute(0, 3, 1, 2).float() - float(MEAN_RGB[0])) * SCALE


def create_backbone(name: str, weights: str = "none") -> nn.Module:
    """timm feature extractor for strides 4, 8, 16 and 32.

    Args:
        name: a timm model.
        weights: ``none`` (random), ``hub`` (timm downloads its own) or the path of a safetensors file of ``name``.

    Raises:
        RuntimeError: the file's keys are not those of the network.
        OSError: the file cannot be read.
    """
    padding: dict[str, Any] = {"pad_type": "same"} if name.startswith("mobilenetv2") else {}
    features = timm.create_model(
        name, pretrained=weights == "hub", features_only=True, out_indices=(1, 2, 3, 4), **padding
    )
    if weights not in ("none", "hub"):
        # Through the whole network, so that a file of another one is refused and not half loaded.
        whole = timm.create_model(name, **padding)
        whole.load_state_dict({key: tensor.float() for key, tensor in load_file(weights).items()})
        wanted = features.state_dict()
        features.load_state_dict({key: value for key, value in whole.state_dict().items() if key in wanted})
    return features


class FeaturePyramid(nn.Module):
    """Normalised pictures [B,3,S,S] to one feature map [B,D,S/8,S/8].

    Strides 8, 16 and 32 are summed top-down (Feature Pyramid Networks, arXiv 1612.03144). Stride 4 joins through a
    2x2 convolution, which keeps the fine edges that a mask decoder without skip connections would lose.
    """

    def __init__(self, backbone: nn.Module, channels: int) -> None:
        super().__init__()
        self.backbone = backbone
        fine, *coarse = cast("FeatureInfo", backbone.feature_info).channels()
        self.fine = nn.Conv2d(fine, channels, kernel_size=2, stride=2)
        self.lateral = nn.ModuleList(nn.Conv2d(width, channels, kernel_size=1) for width in coarse)
        self.smooth = nn.Sequential(
            LayerNorm2d(channels),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False),
            LayerNorm2d(channels),
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        fine, *coarse = self.backbone(image)
        merged = None
        for lateral, features in zip(reversed(self.lateral), reversed(coarse), strict=True):
            here = lateral(features)
            merged = here if merged is None else here + functional.interpolate(merged, scale_factor=2.0)
        smoothed: torch.Tensor = self.smooth(merged + self.fine(fine))  # [B,D,S/8,S/8]
        return smoothed
