"""Weights of an exported graph, to go on from: parameters keep the names that they have in torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper


def graph_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return an ONNX file's tensors by their names in the network, in full precision."""
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
    return {
        name.removeprefix("net.").removesuffix("_half"): torch.from_numpy(values.astype(np.float32))
        for name, values in tensors.items()
    }
