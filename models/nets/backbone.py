"""Picture to features: a timm backbone whose strides are summed top-down to one map of stride 8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from segment_anything.modeling.common import LayerNorm2d
from timm.models import FeatureInfo
from torch import nn
from torch.nn import functional

STRIDE_PX = 8
STRIDES_PX = (2, 4, 8, 16, 32)
MEAN_RGB = (128, 128, 128)
SCALE = 1 / 127.5
# Half of white's range: input of all networks here is in [-1, 1], with padding at 0.
HALF_RANGE = 0.5
# Learnt here at a contrast of 1, which its weights adapt to in a few hundred steps: the default bundle's.
WITHOUT_CONTRAST = "mobilenetv2"

Fine = tuple[torch.Tensor, torch.Tensor]


def normalise_image(image_bhwc_u8: torch.Tensor) -> torch.Tensor:
    """Pictures uint8 [B,H,W,3] to float [B,3,H,W] in [-1, 1], exactly 0 at `MEAN_RGB` so that padding vanishes."""
    return (image_bhwc_u8.permute(0, 3, 1, 2).float() - float(MEAN_RGB[0])) * SCALE


def create_backbone(name: str, weights: str = "none", *, with_stride_2: bool = False) -> nn.Module:
    """timm feature extractor for strides 4, 8, 16 and 32.

    Args:
        name: a timm model.
        weights: ``none`` (random), ``hub`` (timm downloads its own) or the path of a safetensors file of ``name``; the
            file may leave the classifier out, which is not used.
        with_stride_2: stride 2 comes before the others.

    Raises:
        RuntimeError: the file's keys are not those of the network.
        ValueError: the network has not these strides, or the file is no safetensors file.
    """
    padding: dict[str, Any] = {"pad_type": "same"} if name.startswith("mobilenetv2") else {}
    levels = _levels(name, STRIDES_PX if with_stride_2 else STRIDES_PX[1:])
    features = timm.create_model(name, pretrained=weights == "hub", features_only=True, out_indices=levels, **padding)
    if weights not in ("none", "hub"):
        # Through the whole network, so that a file of another one is refused and not half loaded.
        whole = timm.create_model(name, **padding)
        tensors = {key: tensor.float() for key, tensor in read_weights(weights).items()}
        whole.load_state_dict(_classifier_weights(whole) | tensors)
        wanted = features.state_dict()
        features.load_state_dict({key: value for key, value in whole.state_dict().items() if key in wanted})
    if not name.startswith(WITHOUT_CONTRAST):
        features.register_buffer("contrast", _contrast(features)[:, None, None], persistent=False)
    return features


def backbone_maps(backbone: nn.Module, image: torch.Tensor) -> list[torch.Tensor]:
    """Feature maps of `normalise_image`'s pictures [B,3,H,W], finest first, at the contrast that the backbone knows."""
    contrast = getattr(backbone, "contrast", None)
    maps: list[torch.Tensor] = backbone(image if contrast is None else image * contrast)
    return maps


def _contrast(features: nn.Module) -> torch.Tensor:
    """Return by how much [3] inputs in [-1, 1] must be stretched for the contrast that a timm model was trained at."""
    std = cast("dict[str, Any]", features.pretrained_cfg)["std"]
    return HALF_RANGE / torch.tensor(std)


def _classifier_weights(whole: nn.Module) -> dict[str, torch.Tensor]:
    """Return the tensors of a timm model's classifier by their names."""
    prefix = cast("dict[str, Any]", whole.pretrained_cfg)["classifier"]
    return {key: tensor for key, tensor in whole.state_dict().items() if key.startswith(f"{prefix}.")}


def _levels(name: str, strides_px: Sequence[int]) -> tuple[int, ...]:
    """Numbers of a timm model's feature maps that have these strides."""
    with torch.device("meta"):  # without weights, and without random numbers that the real one is to have
        info = cast("FeatureInfo", timm.create_model(name, features_only=True).feature_info)
    found = info.reduction()
    if not set(strides_px) <= set(found):
        raise ValueError(
            f"backbone: {name} has feature maps of strides {', '.join(map(str, found))}, and "
            f"{', '.join(map(str, strides_px))} are needed: take a ResNet, MobileNet or EfficientNet, say"
        )
    return tuple(info.out_indices[found.index(stride_px)] for stride_px in strides_px)


def read_weights(path: str) -> dict[str, torch.Tensor]:
    """Tensors of a safetensors file by name; raises ValueError where it cannot be read as one."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"backbone_weights: {path} cannot be read as a safetensors file ({error})") from error


def feature_widths(backbone: nn.Module) -> list[int]:
    """Channels of a backbone's feature maps, finest first."""
    return list(cast("FeatureInfo", backbone.feature_info).channels())


class FeaturePyramid(nn.Module):
    """Normalised pictures [B,3,S,S] to one feature map [B,D,S/8,S/8].

    Strides 8, 16 and 32 are summed top-down (Feature Pyramid Networks, arXiv 1612.03144). Stride 4 joins through a
    2x2 convolution, which keeps the fine edges that a mask decoder without skip connections would lose.
    """

    def __init__(self, backbone: nn.Module, channels: int) -> None:
        super().__init__()
        self.backbone = backbone
        fine, *coarse = feature_widths(backbone)[-4:]
        self.fine = nn.Conv2d(fine, channels, kernel_size=2, stride=2)
        self.lateral = nn.ModuleList(nn.Conv2d(width, channels, kernel_size=1) for width in coarse)
        self.smooth = nn.Sequential(
            LayerNorm2d(channels),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False),
            LayerNorm2d(channels),
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.merge(backbone_maps(self.backbone, image))

    def merge(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """Feature maps of strides 4, 8, 16 and 32 to the one of stride 8."""
        fine, *coarse = features
        merged = None
        for lateral, of_stride in zip(reversed(self.lateral), reversed(coarse), strict=True):
            here = lateral(of_stride)
            merged = here if merged is None else here + functional.interpolate(merged, scale_factor=2.0)
        smoothed: torch.Tensor = self.smooth(merged + self.fine(fine))  # [B,D,S/8,S/8]
        return smoothed


class FineMap(nn.Module):
    """A map of twice the resolution of a coarser one, from both: one step of a U-Net's way up (arXiv 1505.04597).

    ``out`` starts at zero, so that a decoder that has learnt without this map goes on from where it was.
    """

    def __init__(self, width: int, coarser_width: int, hidden: int, channels: int) -> None:
        super().__init__()
        self.lateral = nn.Conv2d(width, hidden, kernel_size=1)
        self.coarser = nn.Conv2d(coarser_width, hidden, kernel_size=1)
        self.mix = nn.Sequential(
            LayerNorm2d(hidden), nn.GELU(), nn.Conv2d(hidden, hidden, kernel_size=3, padding=1), nn.GELU()
        )
        self.out = nn.Conv2d(hidden, channels, kernel_size=1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def forward(self, features: torch.Tensor, coarser: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features [B,width,2h,2w] and the coarser map [B,_,h,w] to [B,channels,2h,2w] and [B,hidden,2h,2w]."""
        mixed = self.mix(self.lateral(features) + functional.interpolate(self.coarser(coarser), scale_factor=2.0))
        return self.out(mixed), mixed


class FinePyramid(FeaturePyramid):
    """`FeaturePyramid` with maps of strides 4 and 2 beside its own, packed into one tensor [B,4D,S/8,S/8].

    A mask decoder that draws at stride 2 from stride 8 alone must guess thin things and holes. As in SAM 2 (arXiv
    2408.00714, section 4) finer maps are added where it enlarges: D/4 channels of stride 4, D/8 of stride 2. They are
    made once a picture and travel in the embedding, whose first D channels are the embedding proper.
    """

    def __init__(self, backbone: nn.Module, channels: int) -> None:
        super().__init__(backbone, channels)
        finest, fine = feature_widths(backbone)[:2]
        self.stride_4 = FineMap(fine, channels, 3 * channels // 8, channels // 4)
        self.stride_2 = FineMap(finest, 3 * channels // 8, 3 * channels // 16, channels // 8)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        finest, *features = backbone_maps(self.backbone, image)
        embedding = self.merge(features)
        fine_4, mixed = self.stride_4(features[0], embedding)
        fine_2, _ = self.stride_2(finest, mixed)
        packed = [functional.pixel_unshuffle(fine_4, 2), functional.pixel_unshuffle(fine_2, 4)]
        return torch.cat([embedding, *packed], dim=1)


def split_embedding(packed: torch.Tensor, channels: int) -> tuple[torch.Tensor, Fine | None]:
    """What `FinePyramid` packed: the embedding [B,D,e,e], and the unshuffled maps [B,D,e,e] and [B,2D,e,e].

    The maps are None where there is nothing but the embedding, as Segment Anything's own encoder gives it.
    """
    if packed.shape[1] == channels:
        return packed, None
    return packed[:, :channels], (packed[:, channels : 2 * channels], packed[:, 2 * channels :])
