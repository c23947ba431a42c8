"""EdgeTAM with random weights: its checkpoint in the official layout, and the same weights in `transformers`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from models.nets.edge_tam import EdgeTam

# Our names to those of facebookresearch/EdgeTAM, and from there to those of Hugging Face's `EdgeTamModel`.
TO_OFFICIAL = (
    (r"^image_encoder\.backbone\.", "image_encoder.trunk.body."),
    (r"^image_encoder\.laterals\.(\d)\.", r"image_encoder.neck.convs.\1.conv."),
    (r"^image_encoder\.fine\.(\d)\.", r"sam_mask_decoder.conv_s\1."),
    (r"^image_encoder\.no_memory$", "no_mem_embed"),
    (r"^prompt_encoder\.", "sam_prompt_encoder."),
    (r"^mask_decoder\.", "sam_mask_decoder."),
    (r"(sam_mask_decoder\.transformer\.layers\.\d\.mlp\.)lin1\.", r"\1layers.0."),
    (r"(sam_mask_decoder\.transformer\.layers\.\d\.mlp\.)lin2\.", r"\1layers.1."),
)
TO_TRANSFORMERS = (
    (r"^image_encoder\.trunk\.body\.", "vision_encoder.backbone.timm_model."),
    (r"^image_encoder\.neck\.convs\.(\d)\.conv\.", r"vision_encoder.neck.convs.\1."),
    (r"^no_mem_embed$", "no_memory_embedding"),
    (r"^sam_", ""),
    (r"pe_layer\.positional_encoding_gaussian_matrix", "shared_embedding.positional_embedding"),
    (r"mask_downscaling\.0", "mask_embed.conv1"),
    (r"mask_downscaling\.1", "mask_embed.layer_norm1"),
    (r"mask_downscaling\.3", "mask_embed.conv2"),
    (r"mask_downscaling\.4", "mask_embed.layer_norm2"),
    (r"mask_downscaling\.6", "mask_embed.conv3"),
    (r"output_upscaling\.0", "upscale_conv1"),
    (r"output_upscaling\.1", "upscale_layer_norm"),
    (r"output_upscaling\.3", "upscale_conv2"),
    (r"(decoder.*)\.norm", r"\1.layer_norm"),
    (r"out_proj", "o_proj"),
    (r"(\.mlp\.)layers\.0", r"\1proj_in"),
    (r"(\.mlp\.)layers\.1", r"\1proj_out"),
    (r"((?:hypernetworks_mlps\.\d|head)\.)layers\.0", r"\1proj_in"),
    (r"((?:hypernetworks_mlps\.\d|head)\.)layers\.1", r"\1layers.0"),
    (r"((?:hypernetworks_mlps\.\d|head)\.)layers\.2", r"\1proj_out"),
)


def random_edge_tam(side_px: int) -> EdgeTam:
    """Return a network whose every tensor is random: what is initialised with zeros would hide a mistake."""
    torch.manual_seed(4)
    net = EdgeTam(side_px).eval()
    with torch.no_grad():
        for name, tensor in net.named_parameters():
            if tensor.ndim == 1 or "no_memory" in name:
                tensor.add_(torch.randn_like(tensor) * 0.1)
    return net


def official_state(net: EdgeTam) -> dict[str, torch.Tensor]:
    """Return the network's tensors by their official names."""
    return {_renamed(key, TO_OFFICIAL): tensor for key, tensor in net.state_dict().items()}


def write_edge_tam(path: Path, net: EdgeTam) -> Path:
    """Save a network as its authors do, with what only videos need."""
    memory = {
        "maskmem_tpos_enc": torch.zeros(7, 1, 1, 64),
        "memory_attention.layers.0.norm1.weight": torch.ones(256),
        "sam_mask_decoder.pred_obj_score_head.layers.0.weight": torch.ones(256, 256),
    }
    torch.save({"model": official_state(net) | memory}, path)
    return path


def reference_of(net: EdgeTam) -> Any:
    """Return Hugging Face's own network with the same weights."""
    from transformers import (
        EdgeTamConfig,
        EdgeTamModel,
        EdgeTamPromptEncoderConfig,
        EdgeTamVisionConfig,
        TimmWrapperConfig,
    )

    model_args = {"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]}
    sizes = [[net.side_px // stride_px] * 2 for stride_px in (4, 8, 16)]
    vision = EdgeTamVisionConfig(
        backbone_config=TimmWrapperConfig(architecture="repvit_m1", model_args=model_args),
        backbone_feature_sizes=sizes,
    )
    config = EdgeTamConfig(
        vision_config=vision, prompt_encoder_config=EdgeTamPromptEncoderConfig(image_size=net.side_px)
    )
    reference: Any = EdgeTamModel(config)
    reference.eval()
    state = {_renamed(key, TO_TRANSFORMERS): tensor for key, tensor in official_state(net).items()}
    points = [state.pop(f"prompt_encoder.point_embeddings.{kind}.weight") for kind in range(4)]
    state["prompt_encoder.point_embed.weight"] = torch.cat(points)
    positions = state["prompt_encoder.shared_embedding.positional_embedding"]
    state["shared_image_embedding.positional_embedding"] = positions
    missing, unknown = reference.load_state_dict(state, strict=False)
    assert not unknown
    assert all("pred_obj_score_head" in key for key in missing)
    return reference


def _renamed(key: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key
