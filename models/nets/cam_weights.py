"""Weights of a trained classifier, which detectors start from."""

from __future__ import annotations

from pathlib import Path

import torch

from models.nets.checkpoint_files import read_weights
from weaksam.errors import UserError

BACKBONE = "features.backbone."
PYRAMID = "features."


def load_cam_weights(net: torch.nn.Module, path: Path, part: str) -> None:
    """Copy one part of a classifier, `BACKBONE` or `PYRAMID`, into a network of the same build.

    Raises:
        UserError: the file is damaged, or the classifier has no such part, as WeakTr's has none.
    """
    own = {key.removeprefix(part): value for key, value in read_weights(path).items() if key.startswith(part)}
    if not own:
        raise UserError(
            f"{path} has no feature pyramid, as WeakTr's has none: give a classifier trained with "
            'architecture = "cnn" for the features; WeakTr gives the proposals'
        )
    counters = {key: value for key, value in net.state_dict().items() if key.endswith("num_batches_tracked")}
    net.load_state_dict(counters | own)  # graphs have no counters, which nothing reads
