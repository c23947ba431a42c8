"""Image to features: a timm backbone whose strides are summed top-down to one map of stride 8."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, cast

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from segment_anything.modeling.common import LayerNorm2d
from timm.models import FeatureInfo
from torch import nn
from torch.nn import functional

from weaksam.errors import UserError

STRIDE_PX = 8
STRIDES_PX = (2, 4, 8, 16, 32)
MEAN_RGB = (128, 128, 128)
SCALE = 1 / 127.5
# Half of white's range: input of all networks here is in [-1, 1], with padding at 0.
HALF_RANGE = 0.5
# The default bundle's backbone, which was trained here on [-1, 1] and not on the wider range of its ImageNet training:
# its weights adapt to that in a few hundred steps.
WITHOUT_CONTRAST = "mobilenetv2"

Fine = tuple[torch.Tensor, torch.Tensor]


def normalise_image(image_bhwc_u8: torch.Tensor) -> torch.Tensor:
    """Return images uint8 [B,H,W,3] as float [B,3,H,W] in [-1, 1]; `MEAN_RGB`, the padding, becomes exactly 0."""
    return (image_bhwc_u8.permute(0, 3, 1, 2).float() - float(MEAN_RGB[0])) * SCALE


def create_backbone(name: str, weights: str = "none", *, with_stride_2: bool = False) -> nn.Module:
    """Return a timm feature extractor for strides 4, 8, 16 and 32.

    Args:
        name: a timm model.
        weights: ``none`` (random), ``hub`` (timm downloads its own) or the path of a safetensors file of ``name``; the
            file may leave the classifier out, which is not used.
        with_stride_2: stride 2 comes before the others.

    Raises:
        UserError: timm does not know the name, the model has not these strides, or the file is not of this model.
    """
    padding: dict[str, Any] = {"pad_type": "same"} if name.startswith("mobilenetv2") else {}
    levels = stride_levels(name, STRIDES_PX if with_stride_2 else STRIDES_PX[1:])
    features = create_timm_model(name, weights == "hub", features_only=True, out_indices=levels, **padding)
    if weights not in ("none", "hub"):
        # Through the whole network, so that a file of another one is refused and not half loaded.
        whole = timm.create_model(name, **padding)
        load_backbone_weights(whole, weights, name, _classifier_weights(whole))
        wanted = features.state_dict()
        features.load_state_dict({key: value for key, value in whole.state_dict().items() if key in wanted})
    if not name.startswith(WITHOUT_CONTRAST):
        features.register_buffer("contrast", trained_contrast(features)[:, None, None], persistent=False)
    return features


def create_timm_model(name: str, pretrained: bool, **options: Any) -> nn.Module:
    """Create a timm model; raises UserError if its weights cannot be downloaded."""
    try:
        return timm.create_model(name, pretrained=pretrained, **options)
    except OSError as error:
        raise UserError(
            f"backbone_weights: timm cannot download those of {name} ({error}): give the path of a safetensors file"
        ) from error


def backbone_maps(backbone: nn.Module, image: torch.Tensor) -> list[torch.Tensor]:
    """Return feature maps of `normalise_image`'s images [B,3,H,W], finest first, at the backbone's own contrast."""
    contrast = getattr(backbone, "contrast", None)
    maps: list[torch.Tensor] = backbone(image if contrast is None else image * contrast)
    return maps


def trained_contrast(model: nn.Module) -> torch.Tensor:
    """Return by how much [3] inputs in [-1, 1] must be stretched for the contrast that a timm model was trained at."""
    std = cast("dict[str, Any]", model.pretrained_cfg)["std"]
    return HALF_RANGE / torch.tensor(std)


def _classifier_weights(whole: nn.Module) -> dict[str, torch.Tensor]:
    """Return the tensors of a timm model's classifier by their names."""
    prefix = cast("dict[str, Any]", whole.pretrained_cfg)["classifier"]
    return {key: tensor for key, tensor in whole.state_dict().items() if key.startswith(f"{prefix}.")}


def stride_levels(name: str, strides_px: Sequence[int]) -> tuple[int, ...]:
    """Return the numbers of a timm model's feature maps that have these strides."""
    if not timm.is_model(name):
        nearest = difflib.get_close_matches(name, timm.list_models(), n=3, cutoff=0.0)
        raise UserError(f"backbone: timm knows no model {name!r} (nearest: {', '.join(nearest)})")
    with torch.device("meta"):  # without weights, and without random numbers that the real one is to have
        info = cast("FeatureInfo", timm.create_model(name, features_only=True).feature_info)
    found = info.reduction()
    if not set(strides_px) <= set(found):
        raise UserError(
            f"backbone: {name} has feature maps of strides {', '.join(map(str, found))}, and "
            f"{', '.join(map(str, strides_px))} are needed: take a ResNet, MobileNet or EfficientNet, say"
        )
    return tuple(info.out_indices[found.index(stride_px)] for stride_px in strides_px)


def load_backbone_weights(
    model: nn.Module, path: str, name: str, defaults: Mapping[str, torch.Tensor] | None = None
) -> None:
    """Load a safetensors file of a whole timm model; ``defaults`` stand in for tensors that the file lacks.

    Raises:
        UserError: the file cannot be read, or its tensors are not those of the model.
    """
    try:
        tensors = {**(defaults or {}), **load_file(path)}
    except (OSError, SafetensorError) as error:
        raise UserError(f"backbone_weights: {path} cannot be read as a safetensors file ({error})") from error
    wanted = {key: tensor.shape for key, tensor in model.state_dict().items()}
    given = {key: tensor.shape for key, tensor in tensors.items()}
    wrong = [key for key in {**wanted, **given} if wanted.get(key) != given.get(key)]
    if wrong:
        raise UserError(
            f"backbone_weights: {path} is not of the backbone {name}: {len(wrong)} tensors are missing, unknown or of "
            f'another shape, {wrong[0]} first: give a file of timm\'s {name}, or "none"'
        )
    model.load_state_dict({key: tensor.float() for key, tensor in tensors.items()})


def feature_widths(backbone: nn.Module) -> list[int]:
    """Return the channels of a backbone's feature maps, finest first."""
    return list(cast("FeatureInfo", backbone.feature_info).channels())


class ChannelNorm(LayerNorm2d):  # type: ignore[misc]  # segment_anything has no types
    """Segment Anything's norm over the channels of each pixel, whose means are matrix products.

    onnxruntime reduces over any axis but the last one pixel by pixel, at a tenth of the encoder's time.
    """

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Normalise maps [B,D,h,w]."""
        pixels = maps.flatten(2)
        mean = torch.full((1, maps.shape[1]), 1 / maps.shape[1], dtype=maps.dtype, device=maps.device)
        centred = pixels - mean @ pixels
        scale = (mean @ (centred * centred) + self.eps).rsqrt()
        normed: torch.Tensor = centred * scale * self.weight[:, None] + self.bias[:, None]
        return normed.reshape(maps.shape)


class FeaturePyramid(nn.Module):
    """Normalised images [B,3,S,S] to one feature map [B,D,S/8,S/8].

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
            ChannelNorm(channels),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False),
            ChannelNorm(channels),
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.merge(backbone_maps(self.backbone, image))

    def merge(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """Merge feature maps of strides 4, 8, 16 and 32 into the one of stride 8."""
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
            ChannelNorm(hidden), nn.GELU(), nn.Conv2d(hidden, hidden, kernel_size=3, padding=1), nn.GELU()
        )
        self.out = nn.Conv2d(hidden, channels, kernel_size=1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def forward(self, features: torch.Tensor, coarser: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Add the coarser map [B,_,h,w] to features [B,width,2h,2w]: [B,channels,2h,2w] and [B,hidden,2h,2w]."""
        mixed = self.mix(self.lateral(features) + functional.interpolate(self.coarser(coarser), scale_factor=2.0))
        return self.out(mixed), mixed


class FinePyramid(FeaturePyramid):
    """`FeaturePyramid` with maps of strides 4 and 2 beside its own, packed into one tensor [B,4D,S/8,S/8].

    A mask decoder that draws at stride 2 from stride 8 alone must guess thin things and holes. As in SAM 2 (arXiv
    2408.00714, section 4) finer maps are added where it enlarges: D/4 channels of stride 4, D/8 of stride 2. They are
    made once an image and travel in the embedding, whose first D channels are the embedding proper.
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
        return pack_embedding(embedding, fine_4, fine_2)


def pack_embedding(embedding: torch.Tensor, twice: torch.Tensor, four_times: torch.Tensor) -> torch.Tensor:
    """Pack [B,D,e,e] and maps of twice and four times its side, [B,D/4,2e,2e] and [B,D/8,4e,4e], to [B,4D,e,e].

    Only the first D channels are maps. The rest are the finer maps' pixels in the order in which a decoder reads them:
    reordered here once an image, they need not be reordered for every prompt.
    """
    batch, channels, side, _ = embedding.shape
    # By the row of the 2x2 patch, then the patch's own row. The runs along x stay whole, so this copies fast.
    rows = twice.permute(0, 2, 3, 1).reshape(batch, side, 2, -1).transpose(1, 2)
    finer = four_times.permute(0, 2, 3, 1).reshape(batch, side, 2, 2, -1).permute(0, 3, 2, 1, 4)
    return torch.cat(
        [embedding, rows.reshape(batch, channels, side, side), finer.reshape(batch, 2 * channels, side, side)], dim=1
    )


def split_embedding(packed: torch.Tensor, channels: int) -> tuple[torch.Tensor, Fine | None]:
    """Return the embedding [1,D,e,e] of what `pack_embedding` packed, and the pixels of the finer maps.

    They are [dy,y,x,dx,D/4] of twice the side, and [dy2,dy1,y,x,dx1,dx2,D/8] of four times: x and y count the
    embedding's pixels, dx1 and dy1 the quarters of one, dx2 and dy2 the quarters of a quarter. They are None if there
    is nothing but the embedding, as Segment Anything's own encoder gives it.
    """
    if packed.shape[1] == channels:
        return packed, None
    side = packed.shape[-1]
    twice = packed[:, channels : 2 * channels].reshape(2, side, side, 2, channels // 4)
    four_times = packed[:, 2 * channels :].reshape(2, 2, side, side, 2, 2, channels // 8)
    return packed[:, :channels], (twice, four_times)
