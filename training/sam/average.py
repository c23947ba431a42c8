"""A compact SAM between two others: the mean of their weights (WiSE-FT, arXiv 2109.01903)."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import torch

from models.run_folder import CONFIG, ENVIRONMENT, SAM, open_run
from training.runs.checkpoints import save_weights
from training.runs.environment import environment
from training.sam.initial_weights import load_initial_weights
from training.sam.trained import load_compact_sam
from weaksam.errors import UserError
from weaksam.files.atomic import write_json


def average_sam(run_dir: Path, other: Path, share: float, out_dir: Path) -> Path:
    """Write the run whose weights are ``1 - share`` times a training's plus ``share`` times others'.

    A network that learns new images forgets some of what it knew; going a part of the way back brings most of it back.
    A prompt map that the others lack stays as it was trained.

    Args:
        run_dir: folder of a finished ``weaksam train sam``.
        other: checkpoint or bundle of the same network, see `load_initial_weights`.
        share: of the other's weights, above 0 and below 1.
        out_dir: folder of the run to write.

    Raises:
        RunError: the training is not finished.
        UserError: the share is out of range, or the weights are of another network.
    """
    if not 0 < share < 1:
        raise UserError(f"share: is {share}, give a number above 0 and below 1")
    run = open_run(run_dir, SAM)
    net = load_compact_sam(run.checkpoint, run.config["backbone"], run.config["side_px"])
    other_net = deepcopy(net)
    load_initial_weights(other_net, other)
    others = other_net.state_dict()
    net.load_state_dict({name: _mean(values, others[name], share) for name, values in net.state_dict().items()})
    out_dir.mkdir(parents=True, exist_ok=True)
    write_json(out_dir / CONFIG, {**run.config, "averaged": {"run": str(run_dir), "other": str(other), "share": share}})
    write_json(out_dir / ENVIRONMENT, environment())
    checkpoint = out_dir / run.checkpoint.name
    save_weights(net, checkpoint)
    return checkpoint


def _mean(values: torch.Tensor, others: torch.Tensor, share: float) -> torch.Tensor:
    return torch.lerp(values, others, share) if values.is_floating_point() else values  # batch norm counts batches
