"""MobileSAM with random weights: its checkpoint in the official layout, and the same weights in its own package."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from models.nets.checkpoint_files import rename_keys
from models.nets.published_sam.mobile_sam import MobileSam

TO_OFFICIAL = (
    (r"^image_encoder\.backbone\.patch_embed\.conv1\.", "image_encoder.patch_embed.seq.0."),
    (r"^image_encoder\.backbone\.patch_embed\.conv2\.", "image_encoder.patch_embed.seq.2."),
    (r"^image_encoder\.backbone\.stages\.1\.downsample\.", "image_encoder.layers.0.downsample."),
    (r"^image_encoder\.backbone\.stages\.2\.downsample\.", "image_encoder.layers.1.downsample."),
    (r"^image_encoder\.backbone\.stages\.3\.downsample\.", "image_encoder.layers.2.downsample."),
    (r"^image_encoder\.backbone\.stages\.", "image_encoder.layers."),
    (r"(image_encoder\..*)\.conv\.weight$", r"\1.c.weight"),
)
CLASSES = {
    "image_encoder.norm_head.weight": torch.ones(320),
    "image_encoder.norm_head.bias": torch.zeros(320),
    "image_encoder.head.weight": torch.zeros(1000, 320),
    "image_encoder.head.bias": torch.zeros(1000),
}


def random_mobile_sam(side_px: int) -> MobileSam:
    """Return a network whose every tensor is random: what is initialised with zeros would hide a mistake."""
    torch.manual_seed(6)
    net = MobileSam(side_px).eval()
    with torch.no_grad():
        for name, tensor in net.named_parameters():
            if tensor.ndim == 1 or "attention_biases" in name:
                tensor.add_(torch.randn_like(tensor) * 0.1)
    return net


def official_state(net: MobileSam) -> dict[str, torch.Tensor]:
    """Return the network's tensors by their official names, with the classes of the published file."""
    return rename_keys(net.state_dict(), TO_OFFICIAL) | CLASSES


def write_mobile_sam(path: Path, net: MobileSam) -> Path:
    """Save a network as its authors do: its state and nothing else."""
    torch.save(official_state(net), path)
    return path


def reference_of(net: MobileSam) -> Any:
    """Return the published package's own network with the same weights, at the net's side."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it registers its TinyViT in timm, by names that moved
        modeling = pytest.importorskip(
            "mobile_sam.modeling", reason="pip install mobilesam-mirror brings the reference"
        )
        encoder = modeling.TinyViT(
            img_size=net.side_px,
            embed_dims=[64, 128, 160, 320],
            depths=[2, 2, 6, 2],
            num_heads=[2, 4, 5, 10],
            window_sizes=[7, 7, 14, 7],
            drop_path_rate=0.0,
            layer_lr_decay=0.8,
        )
    channels, grid = 256, net.side_px // 16
    reference = modeling.Sam(
        image_encoder=encoder,
        prompt_encoder=modeling.PromptEncoder(channels, (grid, grid), (net.side_px, net.side_px), 16),
        mask_decoder=modeling.MaskDecoder(
            num_multimask_outputs=3,
            transformer=modeling.TwoWayTransformer(depth=2, embedding_dim=channels, mlp_dim=2048, num_heads=8),
            transformer_dim=channels,
            iou_head_depth=3,
            iou_head_hidden_dim=channels,
        ),
        pixel_mean=[123.675, 116.28, 103.53],
        pixel_std=[58.395, 57.12, 57.375],
    )
    reference.load_state_dict(official_state(net))
    return reference.eval()  # only now: it keeps its attention biases as they are at this moment
