"""What a killed training goes on from, and the weights that a finished one leaves."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn

from models.run_folder import RESUME
from training.runs.ranks import is_first_rank
from weaksam.errors import UserError
from weaksam.files.atomic import replacing_bytes


def save_checkpoint(out_dir: Path, net: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Write ``resume.pt`` after ``step`` steps, whole or not at all, on the first rank alone."""
    if not is_first_rank():
        return
    # Through memory: written straight to a full disk, torch ends in an error that does not say so.
    whole = io.BytesIO()
    torch.save({"model": net.state_dict(), "optimizer": optimizer.state_dict(), "step": step}, whole)
    with replacing_bytes(out_dir / RESUME) as file:
        file.write(whole.getbuffer())


def resume_checkpoint(out_dir: Path, net: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Load ``resume.pt`` if there is one, and return the number of finished steps; 0 if there is none.

    Call it after `Fabric.setup`, which moves the network to its device: the optimiser's state follows the parameters.

    Raises:
        UserError: the file is damaged, or of another network.
    """
    path = out_dir / RESUME
    if not path.exists():
        return 0
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        net.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        return int(state["step"])
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0][:200] or type(error).__name__
        raise UserError(
            f"{path} is damaged, or of another network ({reason}): copy it again, or remove it to start anew"
        ) from error


def save_weights(net: nn.Module, path: Path) -> None:
    """Write a network's weights as safetensors, whole or not at all, on the first rank alone."""
    if not is_first_rank():
        return
    weights = {name: tensor.contiguous() for name, tensor in net.state_dict().items()}
    with replacing_bytes(path) as file:
        file.write(save(weights))
