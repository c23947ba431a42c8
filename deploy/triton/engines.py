"""The script that turns the ONNX files of a Triton repository into TensorRT engines, to run in NVIDIA's container."""

from __future__ import annotations

from deploy.triton.shapes import Sizes, axis_sizes, concrete_shape, engine_profiles
from models.bundle import Bundle

SCRIPT_NAME = "build_engines.sh"
BOUNDS = ("minShapes", "optShapes", "maxShapes")

HEAD = """\
#!/bin/sh
# Builds the TensorRT engines of version {version}. An engine fits one release of TensorRT and one kind of GPU, so run
# this on a machine that serves, in NVIDIA's TensorRT image of the same release as the Triton image:
#   docker run --rm --gpus all -v "$PWD:/models" nvcr.io/nvidia/tensorrt:<release>-py3 sh /models/{script}
set -eu
cd "$(dirname "$0")"
trtexec=$(command -v trtexec || echo /usr/src/tensorrt/bin/trtexec)
"""


def engine_script(bundle: Bundle, version: int, max_batch: int) -> str:
    """Return the text of the script: one call of ``trtexec`` for each graph; an engine takes its place when whole."""
    calls = [_build(bundle, graph, version, max_batch) for graph in bundle.graphs]
    return "\n".join([HEAD.format(version=version, script=SCRIPT_NAME), *calls])


def _build(bundle: Bundle, graph: str, version: int, max_batch: int) -> str:
    folder = f"{graph}/{version}"
    options = [f"--onnx={folder}/model.onnx", f"--saveEngine={folder}/model.plan.draft", "--fp16"]
    sizes = axis_sizes(bundle, graph, max_batch)
    for index, profile in enumerate(engine_profiles(sizes, graph) if sizes else []):
        options.append(f"--profile={index}")
        options += [f"--{name}={_shapes(bundle, graph, bound)}" for name, bound in zip(BOUNDS, profile, strict=True)]
    arguments = " \\\n  ".join(['"$trtexec"', *options])
    return f"{arguments}\nmv {folder}/model.plan.draft {folder}/model.plan\n"


def _shapes(bundle: Bundle, graph: str, sizes: Sizes) -> str:
    """Return the shapes of the inputs with dynamic axes, as trtexec reads them."""
    dynamic = [tensor for tensor in bundle.graphs[graph].inputs if any(isinstance(size, str) for size in tensor.shape)]
    return ",".join(f"{tensor.name}:{'x'.join(map(str, concrete_shape(tensor, sizes)))}" for tensor in dynamic)
