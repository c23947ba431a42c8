"""Class activation maps from a convolutional classifier trained on tags alone."""

from __future__ import annotations

import torch
from torch import nn

from models.nets.backbone import STRIDE_PX, FeaturePyramid, create_backbone, normalise_image

CHANNELS = 128
INVERSE_TEMPERATURE = 1.0  # of `smooth_max`


class CnnCam(nn.Module):
    """A 1x1 classifier on a map of stride 8; the maps that it pools are the activation maps.

    Stride 8 rather than the backbone's 32: a cell of the last stage is larger than most small debris, so that its
    maps could not point at it.

    Attributes:
        stride_px: of the maps.
        side_multiple_px: sides of images must be a multiple of this, the coarsest stride, for strides to be summed.
    """

    stride_px = STRIDE_PX
    side_multiple_px = 32

    def __init__(self, backbone: nn.Module, classes: int) -> None:
        super().__init__()
        self.features = FeaturePyramid(backbone, CHANNELS)
        self.classifier = nn.Conv2d(CHANNELS, classes, kernel_size=1)
        # Rare classes start rare: the usual prior of 1 % for one-against-all losses (arXiv 1708.02002, section 4.1).
        assert self.classifier.bias is not None, "a convolution has one unless told otherwise"
        nn.init.constant_(self.classifier.bias, -4.6)

    @property
    def map_kinds(self) -> tuple[str, ...]:
        """Names of the maps of `tag_maps`, in their order."""
        return ("coarse",)

    def backbone_parameters(self) -> list[nn.Parameter]:
        """Return what may come from pre-training."""
        return list(self.features.backbone.parameters())

    def forward(self, image_bhwc_u8: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return tag logits [B,C] and activation maps (logits) [B,C,S/8,S/8] of images uint8 [B,S,S,3]."""
        maps = self.classifier(self.features(normalise_image(image_bhwc_u8)))
        return smooth_max(maps, INVERSE_TEMPERATURE), maps

    def tag_maps(self, image_bhwc_u8: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return tag logits [B,C] and maps [B,K,C,h,w] of images uint8 [B,S,S,3], in the order of `map_kinds`."""
        pooled, maps = self(image_bhwc_u8)
        return pooled, maps[:, None]


def smooth_max(maps: torch.Tensor, inverse_temperature: float, left_out: torch.Tensor | None = None) -> torch.Tensor:
    """Pool maps [B,C,h,w] to [B,C]: positions weighted by the softmax of their own logits.

    A plain average follows whatever covers most of the image, here the pavement; a hard maximum trains one cell.

    Args:
        maps: logits.
        inverse_temperature: the higher, the nearer to the maximum.
        left_out: bool [B,1 or C,h,w] positions that do not count; some must.
    """
    flat = maps.flatten(2).float()
    weights = flat * inverse_temperature
    if left_out is not None:
        weights = weights.masked_fill(left_out.flatten(2), float("-inf"))
    return (weights.softmax(dim=2) * flat).sum(dim=2)


def build_cnn_cam(backbone: str, classes: int, weights: str = "none") -> CnnCam:
    return CnnCam(create_backbone(backbone, weights), classes)
