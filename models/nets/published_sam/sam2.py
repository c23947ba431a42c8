"""SAM 2 (arXiv 2408.00714) and EdgeTAM (arXiv 2501.07256) for images, from their official checkpoints.

Their decoder is Segment Anything's with one more token, whose work is to say in videos whether the object is there,
and with two finer maps that are added where masks are enlarged. So Segment Anything's own modules hold its weights,
and timm's the encoder's. SAM 2.1 is SAM 2's network with better weights.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from torch import nn
from torch.nn import functional

from models.nets.backbone import feature_widths
from models.nets.checkpoint_files import CheckpointError, State, load_exactly, rename_keys
from models.nets.published_sam.parts import FILL_RGB, PublishedPixels, build_heads

SIDE_PX = 1024
STRIDE_PX = 16
SIDE_MULTIPLE_PX = 32
CHANNELS = 256
# Official names to ours.
RENAMED = (
    (r"^image_encoder\.trunk\.body\.", "image_encoder.backbone."),
    (r"^image_encoder\.trunk\.(.*\.mlp\.)layers\.0\.", r"image_encoder.backbone.model.\1fc1."),
    (r"^image_encoder\.trunk\.(.*\.mlp\.)layers\.1\.", r"image_encoder.backbone.model.\1fc2."),
    (r"^image_encoder\.trunk\.", "image_encoder.backbone.model."),
    (r"^image_encoder\.neck\.convs\.(\d)\.conv\.", r"image_encoder.laterals.\1."),
    (r"^sam_mask_decoder\.conv_s(\d)\.", r"image_encoder.fine.\1."),
    (r"^no_mem_embed$", "image_encoder.no_memory"),
    (r"^sam_prompt_encoder\.", "prompt_encoder."),
    (r"^sam_mask_decoder\.", "mask_decoder."),
    (r"(mask_decoder\.transformer\.layers\.\d\.mlp\.)layers\.0\.", r"\1lin1."),
    (r"(mask_decoder\.transformer\.layers\.\d\.mlp\.)layers\.1\.", r"\1lin2."),
)
# What remembers objects from one frame of a video to the next; images do without.
FOR_VIDEOS = re.compile(
    r"memory_|spatial_perceiver|mask_downsample|maskmem_|obj_ptr_|no_mem_pos_enc|no_obj_|"
    r"sam_mask_decoder\.pred_obj_score_head\."
)


@dataclass(frozen=True)
class Trunk:
    """An image encoder of the family: the name in messages and timm's name; ``hiera`` is [width, blocks] of Hiera."""

    title: str
    timm_name: str
    hiera: tuple[int, int] | None = None


TRUNKS: Mapping[str, Trunk] = {
    "edgetam": Trunk("EdgeTAM", "repvit_m1"),
    "sam2-tiny": Trunk("SAM 2 tiny", "sam2_hiera_tiny", (96, 12)),
    "sam2-small": Trunk("SAM 2 small", "sam2_hiera_small", (96, 16)),
    "sam2-base-plus": Trunk("SAM 2 base+", "sam2_hiera_base_plus", (112, 24)),
    "sam2-large": Trunk("SAM 2 large", "sam2_hiera_large", (144, 48)),
}


class Sam2Encoder(nn.Module):
    """Normalised images [B,3,S,S] to the embedding [B,256,e,e] and finer maps [B,32,4e,4e] and [B,64,2e,2e]."""

    def __init__(self, timm_name: str) -> None:
        super().__init__()
        self.backbone = timm.create_model(timm_name, features_only=True, out_indices=(0, 1, 2, 3))
        widths = feature_widths(self.backbone)
        self.laterals = nn.ModuleList([nn.Conv2d(width, CHANNELS, 1) for width in reversed(widths)])
        self.fine = nn.ModuleList([nn.Conv2d(CHANNELS, CHANNELS // 8, 1), nn.Conv2d(CHANNELS, CHANNELS // 4, 1)])
        self.no_memory = nn.Parameter(torch.zeros(1, 1, CHANNELS))

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        stride_4, stride_8, stride_16, stride_32 = self.backbone(image)
        coarse = functional.interpolate(self.laterals[0](stride_32), scale_factor=2.0)
        embedding = self.laterals[1](stride_16) + coarse + self.no_memory.reshape(1, -1, 1, 1)
        return embedding, self.fine[0](self.laterals[3](stride_4)), self.fine[1](self.laterals[2](stride_8))


class Sam2(nn.Module):
    """SAM 2 or EdgeTAM for images.

    Attributes:
        side_px: side S of the square input; no weight depends on it.
        fill_rgb: colour of the padding.
        feature_names: names of what `encode` returns.
    """

    def __init__(self, kind: str, side_px: int = SIDE_PX) -> None:
        """Build the network of a kind, a key of `TRUNKS`."""
        super().__init__()
        self.side_px, self.fill_rgb = side_px, FILL_RGB
        self.feature_names = ("embedding", "fine_4", "fine_8")
        self.normalise = PublishedPixels()
        self.image_encoder = Sam2Encoder(TRUNKS[kind].timm_name)
        self.prompt_encoder, self.mask_decoder = build_heads(
            CHANNELS, side_px // STRIDE_PX, side_px, mlp_dim=2048, mask_channels=16
        )
        self.mask_decoder.obj_score_token = nn.Embedding(1, CHANNELS)
        self.mask_decoder.iou_prediction_head.sigmoid_output = True

    def encode(self, image_bhwc_u8: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return embedding [B,256,e,e], `fine_4` [B,32,4e,4e] and `fine_8` [B,64,2e,2e] of images uint8 [B,S,S,3]."""
        features: tuple[torch.Tensor, torch.Tensor, torch.Tensor] = self.image_encoder(self.normalise(image_bhwc_u8))
        return features


def sam2_kind(state: State) -> str | None:
    """Return the key of `TRUNKS` whose layout a checkpoint has, None if it has no such layout."""
    if any(key.startswith("image_encoder.trunk.body.") for key in state):
        return "edgetam"
    position = state.get("image_encoder.trunk.pos_embed")  # [1,width,7,7]
    if position is None:
        return None
    blocks = sum(bool(re.fullmatch(r"image_encoder\.trunk\.blocks\.\d+\.norm1\.weight", key)) for key in state)
    sizes = (position.shape[1], blocks)
    return next((kind for kind, trunk in TRUNKS.items() if trunk.hiera == sizes), None)


def load_sam2(state: State, kind: str, path: Path, side_px: int) -> Sam2:
    """Return the network with the weights of an official checkpoint, in evaluation mode.

    Args:
        state: tensors by official names.
        kind: as `sam2_kind` gives it.
        path: of the checkpoint, for messages.
        side_px: side of the square input.

    Raises:
        CheckpointError: keys are missing or too many, or the side does not suit the network.
    """
    title = TRUNKS[kind].title
    if side_px % SIDE_MULTIPLE_PX:
        raise CheckpointError(f"side_px: is {side_px}, {title} needs a multiple of {SIDE_MULTIPLE_PX}: take 512, say")
    net = Sam2(kind, side_px)
    of_images = {key: tensor for key, tensor in state.items() if not FOR_VIDEOS.match(key)}
    load_exactly(net, rename_keys(of_images, RENAMED), path, title)
    return net.float().eval()
