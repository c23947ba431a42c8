"""TensorFlow's padding inside the convolutions of an ONNX graph, as the networks from there have it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import onnx
from onnx import helper
from timm.layers.conv2d_same import Conv2dSame
from torch import nn

SAME = "SAME_UPPER"


def fold_same_padding(module: nn.Module, path: Path) -> None:
    """Let the convolutions of ``module``'s graph pad by themselves, where `Conv2dSame` leaves a padding before each.

    The output stays the same to the bit. onnxruntime's fast layout of convolutions ends at every padding that stands
    apart, so each costs two copies of a large map.

    Args:
        module: that was traced.
        path: its ONNX file, whose weights still have the names of the module's parameters.
    """
    weights = {f"{name}.weight" for name, part in module.named_modules() if isinstance(part, Conv2dSame)}
    if not weights:
        return
    model = onnx.load(path)
    _pad_inside(model.graph, weights)
    _drop_unused(model.graph)
    onnx.save(model, path)


def _pad_inside(graph: onnx.GraphProto, weights: Collection[str]) -> None:
    makers = {output: node for node in graph.node for output in node.output}
    for node in graph.node:
        if node.op_type != "Conv" or node.input[1] not in weights:
            continue
        padding = makers.get(node.input[0])  # none before a convolution of the graph's own input
        if padding is not None and padding.op_type == "Pad":
            node.input[0] = padding.input[0]
            attributes = [attribute for attribute in node.attribute if attribute.name != "pads"]
            del node.attribute[:]
            node.attribute.extend([*attributes, helper.make_attribute("auto_pad", SAME)])


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Remove the nodes that computed the sizes of paddings."""
    outputs = {value.name for value in graph.output}
    while True:
        used = outputs | set(_used_values(graph))
        kept = [node for node in graph.node if used.intersection(node.output)]
        if len(kept) == len(graph.node):
            return
        del graph.node[:]
        graph.node.extend(kept)


def _used_values(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield the values that nodes take, in branches and loops too."""
    for node in graph.node:
        yield from node.input
        for inner in inner_graphs(node):
            yield from (value.name for value in inner.output)
            yield from _used_values(inner)


def inner_graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yield a node's branches and loop bodies, which look at the values around them."""
    for attribute in node.attribute:
        yield from attribute.graphs
        if attribute.HasField("g"):
            yield attribute.g
