"""Weights of a trained classifier, which detectors start from: of a run, or of a bundle."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from models.bundle import CAM, MANIFEST
from models.bundle_files.manifest import load_bundle
from models.run_folder import weights_file
from training.runs.graph_weights import graph_weights
from weaksam.errors import UserError

BACKBONE = "features.backbone."
PYRAMID = "features."


def cam_file(source: Path) -> Path:
    """Return the file with a classifier's weights.

    Args:
        source: the file itself, a folder of `weaksam train cam`, or a bundle.

    Raises:
        UserError: there is none.
    """
    if (source / MANIFEST).is_file():
        return load_bundle(source, (CAM,)).path(CAM)
    path = source / weights_file(CAM) if source.is_dir() else source
    if not path.is_file():
        raise UserError(f"cam: {source} is no finished run of `weaksam train cam` and no bundle")
    return path


def cam_weights(path: Path, part: str) -> dict[str, torch.Tensor]:
    """Return the tensors of one part, `BACKBONE` or `PYRAMID`, by their names in it.

    Raises:
        UserError: the file is damaged, or the classifier has no such part, as WeakTr's has none.
    """
    try:
        state = graph_weights(path) if path.suffix == ".onnx" else load_file(path)
    except SafetensorError as error:
        raise UserError(f"{path} is damaged ({error}): copy it again, or repeat its training") from error
    own = {key.removeprefix(part): value for key, value in state.items() if key.startswith(part)}
    if not own:
        raise UserError(
            f"{path} has no feature pyramid, as WeakTr's has none: give a classifier trained with "
            'architecture = "cnn" for the features; WeakTr gives the proposals'
        )
    return own


def load_cam_weights(net: torch.nn.Module, path: Path, part: str) -> None:
    """Copy one part of a classifier into a network of the same build."""
    counters = {key: value for key, value in net.state_dict().items() if key.endswith("num_batches_tracked")}
    net.load_state_dict(counters | cam_weights(path, part))  # graphs have no counters, which nothing reads
