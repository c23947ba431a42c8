"""A compact SAM that has been trained: from a training's folder, or from a bundle."""

from __future__ import annotations

from pathlib import Path

from models.bundle import MANIFEST, PROMPT_MAP, SAM_ENCODER, SAM_GRAPHS
from models.bundle_files.manifest import load_bundle
from models.nets.checkpoint_files import load_exactly, read_checkpoint, state_of
from models.nets.compact_sam import CompactSam, build_compact_sam, has_prompt_map
from models.run_folder import SAM, open_run
from training.sam.initial_weights import additions_of, load_initial_weights
from weaksam.errors import UserError


def load_segmenter(source: Path) -> CompactSam:
    """Return the compact SAM of a training's folder or of a bundle, in evaluation mode.

    Raises:
        RunError: there is no finished training in the folder.
        UserError: it is a file, or a bundle of another segmenter.
    """
    if source.is_file():
        raise UserError(f"{source} is a file: give the folder of a bundle or of `weaksam train sam`")
    if not (source / MANIFEST).is_file():
        run = open_run(source, SAM)
        return load_compact_sam(run.checkpoint, run.config["backbone"], run.config["side_px"])
    bundle = load_bundle(source, SAM_GRAPHS)
    encoder = bundle.graphs[SAM_ENCODER]
    config = bundle.provenance.get("runs", {}).get(SAM, {}).get("config", {})
    if "backbone" not in config:
        raise UserError(f"{source}: its segmenter is no compact SAM of `weaksam train sam`")
    net = build_compact_sam(config["backbone"], encoder.side_px, prompt_map=PROMPT_MAP in bundle.encoder_outputs)
    load_initial_weights(net, source)
    return net.eval()


def load_compact_sam(checkpoint: Path, backbone: str, side_px: int) -> CompactSam:
    """Return the trained network in evaluation mode; raises UserError if the file is of another network."""
    weights = state_of(read_checkpoint(checkpoint))
    net = build_compact_sam(backbone, side_px, prompt_map=has_prompt_map(weights))
    load_exactly(net, {**additions_of(net.state_dict(), weights), **weights}, checkpoint, "the network of its settings")
    return net.eval()
