"""One torch module to one ONNX file: traced, stored in half precision, compared with torch."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from deploy.export.same_padding import fold_same_padding, inner_graphs
from models.bundle import GraphSpec, TensorSpec
from models.nets.backbone import MEAN_RGB
from weaksam.errors import UserError
from weaksam.files.digests import file_sha256

OPSET = 17
HALF_MIN_ELEMENTS = 256
# Largest difference to torch that an output may have, as a share of its largest value. The weights are the same, so
# only the order of sums differs; a graph that computes something else differs far more.
TOLERANCE = 0.01
STEPPING_SHARE = 0.75
NUMPY_NAMES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
}
Arrays = Mapping[str, npt.NDArray[np.generic]]
Rows = Sequence[npt.NDArray[np.generic]]
Pair = Callable[[Rows, Rows], tuple[Rows, Rows]]


class ExportError(UserError):
    """A run that cannot be exported; the message names the file and the remedy."""


@dataclass(frozen=True)
class GraphPlan:
    """What is needed to export one graph.

    Attributes:
        name: file stem.
        module: the traced module.
        output_names: in the order the module returns them.
        trace: named example inputs.
        checks: further inputs, at other sizes of every dynamic axis, to compare torch and onnxruntime on.
        axes: letters of the dynamic axes, by tensor and axis.
        fill_rgb: colour of the padding that the module normalises to zero.
        pair: puts rows of torch's and onnxruntime's outputs side by side if their number may differ.
        tolerances: by output, in place of `TOLERANCE`.
        stepping: outputs that jump if a logit crosses a threshold. The largest quarter of their differences does not
            count, see `STEPPING_SHARE`.
    """

    name: str
    module: nn.Module
    output_names: tuple[str, ...]
    trace: Arrays
    checks: Sequence[Arrays]
    axes: Mapping[str, Mapping[int, str]]
    fill_rgb: tuple[int, int, int] = MEAN_RGB
    pair: Pair | None = None
    tolerances: Mapping[str, float] = field(default_factory=dict)
    stepping: tuple[str, ...] = ()


def export_graph(plan: GraphPlan, folder: Path, side_px: int) -> GraphSpec:
    """Write ``folder/NAME.onnx`` and return its spec with the measured difference to torch.

    The weights of ``plan.module`` are rounded as the file stores them.
    """
    path = folder / f"{plan.name}.onnx"
    plan.module.eval()
    round_weights_to_half(plan.module)
    with TemporaryDirectory(dir=folder, prefix=".") as draft:
        # ViT-H in full precision is over protobuf's 2 GB: the tracer then writes hundreds of files beside its own.
        traced = Path(draft) / path.name
        _trace(plan, traced)
        fold_same_padding(plan.module, traced)
        store_weights_in_half(traced, path)
    _name_axes(plan, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return GraphSpec(
        file=path.name,
        sha256=file_sha256(path),
        side_px=side_px,
        fill_rgb=plan.fill_rgb,
        inputs=tuple(_tensor_spec(node) for node in session.get_inputs()),
        outputs=tuple(_tensor_spec(node) for node in session.get_outputs()),
        max_abs_difference=largest_difference(plan, session),
    )


def round_weights_to_half(module: nn.Module) -> None:
    """Give ``module`` the weights that its graph will have.

    Else the two would compute with different weights. A detection may then reach a threshold on one side alone, and
    the comparison could not tell this from a wrong graph.
    """
    with torch.no_grad():
        for weights in (*module.parameters(), *module.buffers()):
            if weights.dtype == torch.float32 and stored_in_half(weights.shape):
                weights.copy_(weights.half())


def stored_in_half(shape: Sequence[int]) -> bool:
    """Return whether float32 weights of this shape are stored as float16.

    Vectors take little room, and a variance of batch normalisation can be out of half precision's range.
    """
    return len(shape) >= 2 and prod(shape) >= HALF_MIN_ELEMENTS


def store_weights_in_half(source: Path, target: Path) -> None:
    """Copy an ONNX file so that its large float32 weights are stored as float16 behind a cast.

    Runtimes fold the cast once at load, so that the computation stays in float32. Raises ExportError for a weight
    beyond half precision's range.
    """
    model = onnx.load(source)
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or not stored_in_half(values.shape):
            continue
        name = tensor.name
        with np.errstate(over="ignore"):
            halves = values.astype(np.float16)
        if not np.isfinite(halves).all():
            raise ExportError(f"{target.name}: {name} does not fit into half precision: has its training diverged?")
        tensor.CopyFrom(numpy_helper.from_array(halves, name=f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        graph.node.insert(0, cast)
    _stamp_values(graph)
    onnx.checker.check_model(model)
    onnx.save(model, target)


def _stamp_values(graph: onnx.GraphProto) -> None:
    """Put a digest of the weights into the name of every value inside the graph.

    onnxruntime's cache of TensorRT engines knows a graph by the names of its file and values, not by its weights:
    without this a bundle that was trained anew would be served by the engines of the one before.
    """
    digest = hashlib.sha256(b"".join(tensor.SerializeToString(deterministic=True) for tensor in graph.initializer))
    outputs = {value.name for value in graph.output}
    inside = {name for node in graph.node for name in node.output if name and name not in outputs}
    _rename_values(graph, {name: f"{name}@{digest.hexdigest()[:8]}" for name in inside})


def _rename_values(graph: onnx.GraphProto, renamed: Mapping[str, str]) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [renamed.get(name, name) for name in names]
        for inner in inner_graphs(node):
            _rename_values(inner, renamed)
    for value in graph.value_info:
        value.name = renamed.get(value.name, value.name)


def _name_axes(plan: GraphPlan, path: Path) -> None:
    """Give every output its sizes, as observed, and its letters: the tracer leaves names of its own."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    observed = session.run(list(plan.output_names), dict(plan.trace))
    model = onnx.load(path)
    for value, array in zip(model.graph.output, observed, strict=True):
        letters = plan.axes.get(value.name, {})
        for axis, dimension in enumerate(value.type.tensor_type.shape.dim):
            if axis in letters:
                dimension.dim_param = letters[axis]
            else:
                dimension.dim_value = array.shape[axis]
    onnx.save(model, path)


def largest_difference(plan: GraphPlan, session: onnxruntime.InferenceSession) -> dict[str, float]:
    """Return the largest absolute difference between torch and onnxruntime over ``plan.checks``, by output.

    Of outputs that are ``stepping`` it is the largest of those that count: one pixel that flips moves a mask's box by
    any distance, on one machine and not on the next.

    Raises:
        ExportError: an output is not finite, or differs by more than its tolerance.
    """
    largest = dict.fromkeys(plan.output_names, 0.0)
    for inputs in plan.checks:
        with torch.no_grad():
            output = plan.module(*(torch.from_numpy(np.asarray(value)) for value in inputs.values()))
        expected: Rows = [tensor.numpy() for tensor in (output if isinstance(output, tuple) else (output,))]
        found: Rows = session.run(list(plan.output_names), dict(inputs))
        if plan.pair is not None:
            expected, found = plan.pair(expected, found)
        for name, wanted, array in zip(plan.output_names, expected, found, strict=True):
            difference = _checked_difference(plan, name, wanted.astype(np.float32), array.astype(np.float32))
            largest[name] = max(largest[name], difference)
    return largest


def _checked_difference(
    plan: GraphPlan, name: str, expected: npt.NDArray[np.float32], found: npt.NDArray[np.float32]
) -> float:
    differences = np.abs(expected - found)
    if not np.isfinite(differences).all():
        raise ExportError(f"{plan.name}: {name} is not finite in torch or in onnxruntime")
    allowed = plan.tolerances.get(name, TOLERANCE) * max(1.0, float(np.abs(expected).max(initial=0.0)))
    stepping = name in plan.stepping
    largest = float(np.quantile(differences, STEPPING_SHARE) if stepping else differences.max(initial=0.0))
    if largest > allowed:
        raise ExportError(
            f"{plan.name}: {name} of the exported graph differs from torch by {largest:.3g}, allowed is "
            f"{allowed:.3g}: the graph computes something else, so try another release of torch"
        )
    return largest


def _trace(plan: GraphPlan, path: Path) -> None:
    example = tuple(torch.from_numpy(np.asarray(value)) for value in plan.trace.values())
    with warnings.catch_warnings():
        # The tracing exporter warns of its own age and of each shape it records; the checks below judge the result.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            plan.module,
            example,
            str(path),
            dynamo=False,
            opset_version=OPSET,
            # Nothing folded: parameters keep their names and training can go on from a bundle. Runtimes fold at load.
            do_constant_folding=False,
            training=torch.onnx.TrainingMode.PRESERVE,
            input_names=list(plan.trace),
            output_names=list(plan.output_names),
            dynamic_axes={name: dict(axes) for name, axes in plan.axes.items()},
        )


def _tensor_spec(node: onnxruntime.NodeArg) -> TensorSpec:
    return TensorSpec(node.name, NUMPY_NAMES[node.type], tuple(node.shape))
