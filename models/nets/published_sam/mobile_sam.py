"""MobileSAM (arXiv 2306.14289): Segment Anything's own decoder over TinyViT, from its official checkpoint."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from segment_anything.modeling.common import LayerNorm2d
from timm.models.tiny_vit import tiny_vit_5m_224
from torch import nn

from models.nets.checkpoint_files import CheckpointError, State, load_exactly, rename_keys
from models.nets.published_sam.parts import FILL_RGB, PublishedPixels, build_heads

TITLE = "MobileSAM"
SIDE_PX = 1024
STRIDE_PX = 16
CHANNELS = 256
# Official names to timm's; a stage's downsampling is the end of one stage there and the beginning of the next here.
RENAMED = (
    (r"^image_encoder\.patch_embed\.seq\.0\.", "image_encoder.backbone.patch_embed.conv1."),
    (r"^image_encoder\.patch_embed\.seq\.2\.", "image_encoder.backbone.patch_embed.conv2."),
    (r"^image_encoder\.layers\.0\.downsample\.", "image_encoder.backbone.stages.1.downsample."),
    (r"^image_encoder\.layers\.1\.downsample\.", "image_encoder.backbone.stages.2.downsample."),
    (r"^image_encoder\.layers\.2\.downsample\.", "image_encoder.backbone.stages.3.downsample."),
    (r"^image_encoder\.layers\.", "image_encoder.backbone.stages."),
    (r"(image_encoder\..*)\.c\.weight$", r"\1.conv.weight"),
)
# TinyViT's own classes, which segmenting does not use.
FOR_CLASSES = re.compile(r"image_encoder\.(norm_head|head)\.")


class TinyVitEncoder(nn.Module):
    """Normalised images [B,3,S,S] to embeddings [B,256,e,e], e = S / 16."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = tiny_vit_5m_224(num_classes=0)
        self.backbone.head = nn.Identity()
        # The last stage keeps the side of the one before: TinyViT itself goes on to stride 32.
        self.backbone.stages[3].downsample.conv2.conv.stride = (1, 1)
        self.neck = nn.Sequential(
            nn.Conv2d(self.backbone.num_features, CHANNELS, 1, bias=False),
            LayerNorm2d(CHANNELS),
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False),
            LayerNorm2d(CHANNELS),
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        embedding: torch.Tensor = self.neck(self.backbone.forward_features(image))
        return embedding


class MobileSam(nn.Module):
    """MobileSAM.

    Attributes:
        side_px: side S of the square input; no weight depends on it.
        fill_rgb: colour of the padding.
        feature_names: names of what `encode` returns.
    """

    def __init__(self, side_px: int) -> None:
        super().__init__()
        self.side_px, self.fill_rgb = side_px, FILL_RGB
        self.feature_names = ("embedding",)
        self.normalise = PublishedPixels()
        self.image_encoder = TinyVitEncoder()
        self.prompt_encoder, self.mask_decoder = build_heads(
            CHANNELS, side_px // STRIDE_PX, side_px, mlp_dim=2048, mask_channels=16
        )

    def encode(self, image_bhwc_u8: torch.Tensor) -> torch.Tensor:
        """Return embeddings [B,256,e,e] of images uint8 [B,S,S,3]."""
        embedding: torch.Tensor = self.image_encoder(self.normalise(image_bhwc_u8))
        return embedding


def is_mobile_sam(state: State) -> bool:
    """Return whether a checkpoint is laid out as MobileSAM's."""
    return "image_encoder.patch_embed.seq.0.c.weight" in state


def load_mobile_sam(state: State, path: Path, side_px: int) -> MobileSam:
    """Return the network with the weights of an official checkpoint, in evaluation mode.

    Args:
        state: tensors by official names.
        path: of the checkpoint, for messages.
        side_px: side of the square input.

    Raises:
        CheckpointError: keys are missing or too many, or the side does not suit the network.
    """
    if side_px % STRIDE_PX:
        raise CheckpointError(f"side_px: is {side_px}, {TITLE} needs a multiple of {STRIDE_PX}: take 512, say")
    net = MobileSam(side_px)
    used = {key: tensor for key, tensor in state.items() if not FOR_CLASSES.match(key)}
    load_exactly(net, rename_keys(used, RENAMED), path, TITLE)
    return net.float().eval()
