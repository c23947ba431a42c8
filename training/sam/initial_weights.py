"""Weights of a compact SAM to go on from: a checkpoint, or the graphs of a bundle, which keep them by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from models.bundle import MANIFEST, SAM_GRAPHS
from models.bundle_files.manifest import load_bundle
from models.nets.checkpoint_files import load_exactly, read_checkpoint, read_weights, state_of
from models.nets.compact_sam import CompactSam
from models.run_folder import SAM, weights_file
from weaksam.errors import UserError

# What no graph has, since no answer depends on it; the biases are the same for all pixels, and softmax drops them.
NOT_SERVED = (
    "prompt_encoder.mask_downscaling.",
    "mask_decoder.output_hypernetworks_mlps.0.",
    "mask_decoder.transformer.layers.1.cross_attn_token_to_image.k_proj.bias",
    "mask_decoder.transformer.final_attn_token_to_image.k_proj.bias",
)
# Parts of the network that can be learnt on top of any compact SAM.
ADDITIONS = ("prompt_map.", "geometry.", "quality.")


def load_initial_weights(net: CompactSam, source: Path) -> None:
    """Copy weights into ``net``.

    Args:
        net: a compact SAM.
        source: folder of a bundle or of `weaksam train sam`, or the latter's ``sam.safetensors``.

    Raises:
        UserError: they are of another network, or of a bundle whose graphs do not name their parameters.
    """
    wanted = net.state_dict()
    if not (source / MANIFEST).is_file():
        path = source / weights_file(SAM) if source.is_dir() else source
        state = state_of(read_checkpoint(path))
        taken = {key: value for key, value in state.items() if key in wanted or not key.startswith(ADDITIONS)}
        load_exactly(net, {**additions_of(wanted, state), **taken}, path, "this compact SAM")
        return
    bundle = load_bundle(source, SAM_GRAPHS)
    state = {key: value for name in SAM_GRAPHS for key, value in read_weights(bundle.path(name)).items()}
    not_needed = (*NOT_SERVED, *additions_of(wanted, state))
    served = [key for key in wanted if not key.startswith(not_needed) and not key.endswith("num_batches_tracked")]
    missing = [key for key in served if key not in state or state[key].shape != wanted[key].shape]
    if missing:
        raise UserError(
            f"initial: {source} has no {missing[0]} of this size ({len(missing)} of {len(served)} parameters): "
            "its compact SAM is of another release, give a checkpoint of this one"
        )
    net.load_state_dict(wanted | {key: state[key] for key in served})


def additions_of(wanted: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the network's own weights of those additions that the source has not learnt."""
    lacking = tuple(part for part in ADDITIONS if not any(key.startswith(part) for key in state))
    return {key: value for key, value in wanted.items() if key.startswith(lacking)}
