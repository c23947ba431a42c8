"""Weights out of files: of published networks, their keys held to those of ours, of trainings and of graphs."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from weaksam.errors import UserError

State = Mapping[str, torch.Tensor]
Renames = Sequence[tuple[str, str]]
MAX_LISTED_KEYS = 8


class CheckpointError(UserError):
    """A file that is no checkpoint of a published network; the message names it and the remedy."""


def read_checkpoint(path: Path) -> Any:
    """Read a PyTorch or safetensors file as plain tensors: nothing in it is executed.

    Raises:
        CheckpointError: the file is damaged, or holds anything but tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other pickle protocols: the file is read or refused
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, KeyError, ValueError, OSError) as error:
        reason = str(error).partition("\n")[0][:200] or type(error).__name__
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint of plain tensors ({reason}): "
            "give a file such as `weaksam weights pull edgetam` brings"
        ) from error


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors file that a training wrote, or of a graph that was exported from one.

    Raises:
        CheckpointError: the file is damaged.
    """
    try:
        return _graph_weights(path) if path.suffix == ".onnx" else load_file(path)
    except (SafetensorError, DecodeError, OSError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): copy it again, or repeat its training") from error


def load_weights(net: nn.Module, path: Path) -> None:
    """Load the weights of a finished training into the network of its settings.

    Raises:
        CheckpointError: the file is damaged, or of another network.
    """
    try:
        net.load_state_dict(read_weights(path))
    except RuntimeError as error:
        raise CheckpointError(
            f"{path} is of another network than the files beside it say: copy the run again"
        ) from error


def state_of(checkpoint: object) -> State:
    """Return the tensors of a checkpoint by name, which some publishers put under the key ``model``."""
    inner = checkpoint.get("model", checkpoint) if isinstance(checkpoint, Mapping) else {}
    if not isinstance(inner, Mapping):
        return {}
    return {str(key): value for key, value in inner.items() if isinstance(value, torch.Tensor)}


def rename_keys(state: State, rules: Renames) -> dict[str, torch.Tensor]:
    """Return the tensors by new names; each rule is applied to what the rules before it left."""
    return {_renamed(key, rules): tensor for key, tensor in state.items()}


def load_exactly(net: nn.Module, state: State, path: Path, name: str) -> None:
    """Load tensors whose names and shapes must be those of the network.

    Raises:
        CheckpointError: it lists what is missing, unknown or of another shape.
    """
    wanted = net.state_dict()
    misfits = {
        "missing": [key for key in wanted if key not in state],
        "unknown": [key for key in state if key not in wanted],
        "of another shape": [key for key in wanted if key in state and state[key].shape != wanted[key].shape],
    }
    found = [f"{kind}: {_listed(keys)}" for kind, keys in misfits.items() if keys]
    if found:
        raise CheckpointError(f"{path} differs from {name} ({'; '.join(found)}): give an unchanged checkpoint")
    # The file's tensors become the network's own: ViT-H alone is 2.5 GB.
    net.load_state_dict(state, assign=True)


def _graph_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return a graph's parameters, in full precision, by the names that they have in the network."""
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
    return {
        name.removeprefix("net.").removesuffix("_half"): torch.from_numpy(values.astype(np.float32))
        for name, values in tensors.items()
    }


def _listed(keys: Sequence[str]) -> str:
    more = len(keys) - MAX_LISTED_KEYS
    return ", ".join(keys[:MAX_LISTED_KEYS]) + (f" and {more} more" if more > 0 else "")


def _renamed(key: str, rules: Renames) -> str:
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key
