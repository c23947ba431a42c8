"""Paddings that convolutions do by themselves, against torch at several sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import nn
from torch.nn import functional

from deploy.export.graph_plans import sam_encoder_plan
from deploy.export.onnx_graph import GraphPlan, export_graph
from models.nets.compact_sam import build_compact_sam


class Padded(nn.Module):
    """A strided convolution with TensorFlow's padding, and one whose padding is another."""

    def __init__(self) -> None:
        super().__init__()
        self.same = Conv2dSame(3, 8, 3, stride=2)
        self.plain = nn.Conv2d(8, 4, 3)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.plain(functional.pad(self.same(image), (2, 0, 2, 0), value=1.0))
        return found


def paddings(path: Path) -> int:
    return sum(node.op_type == "Pad" for node in onnx.load(path).graph.node)


def test_same_padding_moves_into_its_convolution_and_other_paddings_stay(tmp_path: Path) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    images = [{"image": rng.normal(size=(1, 3, side, side)).astype(np.float32)} for side in (8, 12, 9, 11)]
    axes = {"image": {2: "H", 3: "W"}, "answer": {2: "h", 3: "w"}}
    spec = export_graph(GraphPlan("net", Padded(), ("answer",), images[0], images, axes), tmp_path, 8)
    # Weights in half precision make a difference; a convolution that is off by a pixel makes a hundred times more.
    assert spec.max_abs_difference["answer"] < 0.003
    assert paddings(tmp_path / "net.onnx") == 1


def test_the_encoder_has_no_padding_that_stands_apart(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plan = sam_encoder_plan(build_compact_sam("mobilenetv2_100", 64), np.random.default_rng(0))
    export_graph(plan, tmp_path, 64)
    assert paddings(tmp_path / "sam_encoder.onnx") == 0
