"""SAM 2 and EdgeTAM with random weights: checkpoints in the official layout, the same weights in `transformers`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from models.nets.checkpoint_files import rename_keys
from models.nets.published_sam.sam2 import Sam2

# Our names to those of the publishers, and from there to those of Hugging Face's `EdgeTamModel` and `Sam2Model`.
TO_OFFICIAL = (
    (r"^image_encoder\.backbone\.model\.(.*\.mlp\.)fc1\.", r"image_encoder.trunk.\1layers.0."),
    (r"^image_encoder\.backbone\.model\.(.*\.mlp\.)fc2\.", r"image_encoder.trunk.\1layers.1."),
    (r"^image_encoder\.backbone\.model\.", "image_encoder.trunk."),
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
    (r"^image_encoder\.trunk\.(blocks\.\d+\.)norm", r"vision_encoder.backbone.\1layer_norm"),
    (r"^image_encoder\.trunk\.patch_embed\.proj\.", "vision_encoder.backbone.patch_embed.projection."),
    (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
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


# Stages, blocks with global attention, windows, heads and size of the positions of each Hiera, as its official config
# has them: facebookresearch/sam2@2b90b9f5, sam2/configs/sam2.1.
HIERA: dict[str, dict[str, Any]] = {
    "sam2-tiny": {"width": 96, "heads": 1, "blocks": [1, 2, 7, 2], "global": [5, 7, 9]},
    "sam2-small": {"width": 96, "heads": 1, "blocks": [1, 2, 11, 2], "global": [7, 10, 13]},
    "sam2-base-plus": {
        "width": 112,
        "heads": 2,
        "blocks": [2, 3, 16, 3],
        "global": [12, 16, 20],
        "positions": [14, 14],
    },
    "sam2-large": {
        "width": 144,
        "heads": 2,
        "blocks": [2, 6, 36, 4],
        "global": [23, 33, 43],
        "windows": [8, 4, 16, 8],
    },
}


def random_sam2(kind: str, side_px: int) -> Sam2:
    """Return a network whose every tensor is random: what is initialised with zeros would hide a mistake."""
    torch.manual_seed(4)
    net = Sam2(kind, side_px).eval()
    with torch.no_grad():
        for name, tensor in net.named_parameters():
            if tensor.ndim == 1 or "no_memory" in name or "pos_embed" in name:
                tensor.add_(torch.randn_like(tensor) * 0.1)
    return net


def official_state(net: Sam2) -> dict[str, torch.Tensor]:
    """Return the network's tensors by their official names."""
    return rename_keys(net.state_dict(), TO_OFFICIAL)


def write_sam2(path: Path, net: Sam2) -> Path:
    """Save a network as its authors do, with what only videos need."""
    memory = {
        "maskmem_tpos_enc": torch.zeros(7, 1, 1, 64),
        "memory_attention.layers.0.norm1.weight": torch.ones(256),
        "obj_ptr_tpos_proj.weight": torch.ones(64, 256),
        "no_obj_embed_spatial": torch.zeros(1, 64),
        "sam_mask_decoder.pred_obj_score_head.layers.0.weight": torch.ones(256, 256),
    }
    torch.save({"model": official_state(net) | memory}, path)
    return path


def reference_of(net: Sam2, kind: str) -> Any:
    """Return Hugging Face's own network with the same weights."""
    reference = _edge_tam(net.side_px) if kind == "edgetam" else _sam2(net.side_px, **HIERA[kind])
    reference.eval()
    state = rename_keys(official_state(net), TO_TRANSFORMERS)
    points = [state.pop(f"prompt_encoder.point_embeddings.{label}.weight") for label in range(4)]
    state["prompt_encoder.point_embed.weight"] = torch.cat(points)
    positions = state["prompt_encoder.shared_embedding.positional_embedding"]
    state["shared_image_embedding.positional_embedding"] = positions
    missing, unknown = reference.load_state_dict(state, strict=False)
    assert not unknown
    assert all("pred_obj_score_head" in key for key in missing)
    return reference


def _edge_tam(side_px: int) -> Any:
    from transformers import (
        EdgeTamConfig,
        EdgeTamModel,
        EdgeTamPromptEncoderConfig,
        EdgeTamVisionConfig,
        TimmWrapperConfig,
    )

    model_args = {"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]}
    vision = EdgeTamVisionConfig(
        backbone_config=TimmWrapperConfig(architecture="repvit_m1", model_args=model_args),
        backbone_feature_sizes=_sizes(side_px),
    )
    return EdgeTamModel(
        EdgeTamConfig(vision_config=vision, prompt_encoder_config=EdgeTamPromptEncoderConfig(image_size=side_px))
    )


def _sam2(side_px: int, **sizes: Any) -> Any:
    from transformers import Sam2Config, Sam2HieraDetConfig, Sam2Model, Sam2PromptEncoderConfig, Sam2VisionConfig

    widths = [sizes["width"] * 2**stage for stage in range(4)]
    trunk = Sam2HieraDetConfig(
        hidden_size=widths[0],
        num_attention_heads=sizes["heads"],
        image_size=[side_px, side_px],
        window_positional_embedding_background_size=sizes.get("positions", [7, 7]),
        blocks_per_stage=sizes["blocks"],
        embed_dim_per_stage=widths,
        num_attention_heads_per_stage=[sizes["heads"] * 2**stage for stage in range(4)],
        window_size_per_stage=sizes.get("windows", [8, 4, 14, 7]),
        global_attention_blocks=sizes["global"],
    )
    vision = Sam2VisionConfig(
        backbone_config=trunk, backbone_channel_list=widths[::-1], backbone_feature_sizes=_sizes(side_px)
    )
    prompts = Sam2PromptEncoderConfig(image_size=side_px)
    return Sam2Model(Sam2Config(vision_config=vision, prompt_encoder_config=prompts))


def _sizes(side_px: int) -> list[list[int]]:
    return [[side_px // stride_px] * 2 for stride_px in (4, 8, 16)]
