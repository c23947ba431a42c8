"""What the published Segment Anything networks share: pixels, prompt encoder, mask decoder and checkpoints."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer
from torch import nn

from models.nets.compact_sam import MASK_LEVELS
from weaksam.errors import UserError

# https://github.com/facebookresearch/segment-anything/blob/dca509fe/segment_anything/build_sam.py#L103
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
FILL_RGB = (124, 116, 104)
DECODER_HEADS = 8


class CheckpointError(UserError):
    """A file that is no checkpoint of a published network; the message names it and the remedy."""


class PublishedPixels(nn.Module):
    """Images uint8 [B,S,S,3] to float [B,3,S,S], normalised as published; the fill colour becomes exactly 0.

    The published code pads after normalising, with zeros. The mean is no whole colour, so padding in the nearest one
    is sent to zero here; a pixel of the image that has this very colour moves by less than 0.01.
    """

    mean: torch.Tensor
    std: torch.Tensor
    fill: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        for name, values in (("mean", PIXEL_MEAN), ("std", PIXEL_STD), ("fill", FILL_RGB)):
            self.register_buffer(name, torch.tensor(values).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, image_bhwc_u8: torch.Tensor) -> torch.Tensor:
        pixels = image_bhwc_u8.permute(0, 3, 1, 2).float()
        is_fill = (pixels == self.fill).all(dim=1, keepdim=True)
        return torch.where(is_fill, torch.zeros_like(pixels), (pixels - self.mean) / self.std)


def build_heads(
    channels: int, grid: int, side_px: int, mlp_dim: int, mask_channels: int
) -> tuple[PromptEncoder, MaskDecoder]:
    """Build Segment Anything's prompt encoder and mask decoder.

    Args:
        channels: D of the embedding.
        grid: side e of the embedding.
        side_px: side of the square input.
        mlp_dim: hidden channels of the decoder's transformer.
        mask_channels: hidden channels of the mask prompt's encoder, which serving does not use.
    """
    prompt_encoder = PromptEncoder(channels, (grid, grid), (side_px, side_px), mask_channels)
    transformer = TwoWayTransformer(depth=2, embedding_dim=channels, mlp_dim=mlp_dim, num_heads=DECODER_HEADS)
    mask_decoder = MaskDecoder(
        transformer_dim=channels,
        transformer=transformer,
        num_multimask_outputs=MASK_LEVELS,
        iou_head_depth=3,
        iou_head_hidden_dim=channels,
    )
    return prompt_encoder, mask_decoder


def read_checkpoint(path: Path) -> Any:
    """Read a PyTorch file as plain tensors: nothing in it is executed.

    Raises:
        CheckpointError: the file is damaged, or holds anything but tensors.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(
            f"{path} cannot be read as a PyTorch checkpoint of plain tensors ({reason}): "
            "give a file such as `weaksam weights pull sam-vit-b` brings"
        ) from error


def load_exactly(net: nn.Module, state: Mapping[str, torch.Tensor], path: Path, name: str) -> None:
    """Load tensors whose names and shapes must be those of the network.

    Raises:
        CheckpointError: it lists what is missing, unknown or of another shape.
    """
    try:
        # The file's tensors become the network's own: ViT-H alone is 2.5 GB.
        net.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path} differs from {name} ({_one_line(error)}): give an unchanged checkpoint"
        ) from error


def _one_line(error: Exception) -> str:
    """Return the beginning of torch's list of misfits, which may have hundreds of lines."""
    return " ".join(str(error).split())[:200]
