"""What export does to a traced file: names, sizes and answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from deploy.export.onnx_graph import ExportError, GraphPlan, export_graph

SIDE = 8


class Branching(nn.Module):
    """A convolution, and a branch that looks at a value around it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = positive_or_halved(self.conv(image))
        return answer


@torch.jit.script_if_tracing  # type: ignore[untyped-decorator]
def positive_or_halved(values: torch.Tensor) -> torch.Tensor:
    if bool(values.mean() > 0):
        return values.relu()
    return values / 2


def exported(seed: int, folder: Path) -> onnx.ModelProto:
    torch.manual_seed(seed)
    folder.mkdir()
    rng = np.random.default_rng(0)
    pictures = [{"image": rng.normal(size=(1, 3, SIDE, SIDE)).astype(np.float32) + shift} for shift in (0, 5, -5)]
    plan = GraphPlan("net", Branching(), ("answer",), pictures[0], pictures, {})
    spec = export_graph(plan, folder, SIDE)
    assert spec.max_abs_difference["answer"] < 0.001
    return onnx.load(folder / "net.onnx")


def test_values_are_named_after_the_weights_and_parameters_after_themselves(tmp_path: Path) -> None:
    models = [exported(seed, tmp_path / str(number)) for number, seed in enumerate((1, 2, 1))]
    parameters = [{tensor.name for tensor in model.graph.initializer} for model in models]
    assert parameters[0] == parameters[1] >= {"conv.weight_half", "conv.bias"}
    inside = [{name for node in model.graph.node for name in node.output} - {"answer"} for model in models]
    assert inside[0]
    assert not inside[0] & inside[1], "an engine cache that goes by names would take one for the other"
    assert inside[0] == inside[2]


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        pytest.param("weight", 1e6, "weight does not fit into half precision", id="too-large"),
        pytest.param("bias", float("nan"), "net: answer is not finite", id="no-number"),
    ],
)
def test_what_is_not_finite_is_not_exported(tmp_path: Path, parameter: str, value: float, message: str) -> None:
    net = nn.Conv2d(3, 16, 3)
    nn.init.constant_(getattr(net, parameter), value)
    pictures = [{"image": np.full((1, 3, SIDE, SIDE), value, np.float32)} for value in (1, -1)]
    plan = GraphPlan("net", net, ("answer",), pictures[0], pictures, {})
    with pytest.raises(ExportError, match=message):
        export_graph(plan, tmp_path, SIDE)


class Frozen(nn.Module):
    """A tracer keeps the branch that the example took."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image * 2 if float(image.mean()) > 0 else image / 2


class FrozenRows(nn.Module):
    """A tracer keeps the signs that the example's rows had."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        signs = [1.0 if float(row.mean()) > 0 else -1.0 for row in image]
        return image * torch.tensor(signs)[:, None]


def test_a_graph_that_computes_something_else_is_refused(tmp_path: Path) -> None:
    up, down = ({"image": np.full((1, 3, SIDE, SIDE), value, np.float32)} for value in (4.0, -4.0))
    plan = GraphPlan("net", Frozen(), ("output",), up, [up, down], {})
    with pytest.raises(
        ExportError, match=r"net: output of the exported graph differs from torch by 6, allowed is 0\.02"
    ):
        export_graph(plan, tmp_path, SIDE)
    assert export_graph(replace(plan, checks=[up]), tmp_path, SIDE).max_abs_difference == {"output": 0.0}


class Threshold(nn.Module):
    """Sixteen times 0.1, which half precision rounds down, lies above a threshold, and below it once rounded."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((16, 16), 0.1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return (image @ self.weight > 1.6 - 2e-4).float()


def test_torch_computes_with_the_weights_that_are_stored(tmp_path: Path) -> None:
    images = [{"image": np.ones((rows, 16), np.float32)} for rows in (1, 2)]
    net = Threshold()
    assert net(torch.ones(1, 16)).all()
    plan = GraphPlan("net", net, ("output",), images[0], images, {"image": {0: "B"}, "output": {0: "B"}})
    assert export_graph(plan, tmp_path, SIDE).max_abs_difference == {"output": 0.0}
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    assert not session.run(None, images[0])[0].any()


def test_a_plan_may_allow_an_output_more(tmp_path: Path) -> None:
    up, down = ({"image": np.full((1, 3, SIDE, SIDE), value, np.float32)} for value in (4.0, -4.0))
    plan = GraphPlan("net", Frozen(), ("output",), up, [up, down], {}, tolerances={"output": 4.0})
    assert export_graph(plan, tmp_path, SIDE).max_abs_difference == {"output": 6.0}


@pytest.mark.parametrize(("odd_rows", "refused"), [(1, False), (4, True)])
def test_few_values_of_an_output_that_steps_do_not_count(tmp_path: Path, odd_rows: int, refused: bool) -> None:
    up = {"image": np.full((6, 3), 4.0, np.float32)}
    some_down = {"image": np.full((6, 3), 4.0, np.float32)}
    some_down["image"][:odd_rows] = -4.0
    plan = GraphPlan("net", FrozenRows(), ("output",), up, [some_down], {}, stepping=("output",))
    if refused:
        with pytest.raises(ExportError, match="output of the exported graph differs from torch by 8"):
            export_graph(plan, tmp_path, SIDE)
    else:
        assert export_graph(plan, tmp_path, SIDE).max_abs_difference == {"output": 0.0}


def test_both_branches_still_find_the_value_around_them(tmp_path: Path) -> None:
    exported(1, tmp_path / "net")
    session = onnxruntime.InferenceSession(tmp_path / "net" / "net.onnx", providers=["CPUExecutionProvider"])
    images = [np.full((1, 3, SIDE, SIDE), value, np.float32) for value in (4.0, -4.0)]
    answers = [session.run(["answer"], {"image": image})[0] for image in images]
    assert sum(bool((answer >= 0).all()) for answer in answers) == 1
