"""`config.pbtxt` of each graph: its tensors, batching, instances, versions and warm-up, as Triton reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from deploy.triton.shapes import Sizes, axis_sizes, concrete_shape, engine_profiles, warm_up_sizes
from models.bundle import Bundle, TensorSpec
from models.triton import BATCH_AXIS, TRITON_TYPES, digest_parameter, has_batch_axis, triton_dims

Platform = Literal["onnxruntime", "tensorrt", "ort-trt", "python"]
Device = Literal["gpu", "cpu"]

BACKENDS: Mapping[Platform, dict[str, str]] = {
    "onnxruntime": {"platform": "onnxruntime_onnx"},
    "ort-trt": {"platform": "onnxruntime_onnx"},
    "tensorrt": {"platform": "tensorrt_plan"},
    "python": {"backend": "python"},
}
# Bound on what a request may ask for as its own time in the queue; without one Triton ignores what it asks for.
MAX_QUEUE_US = 600 * 10**6
WORKSPACE_BYTES = 2 * 2**30


class Word(str):
    """A name of an enumeration, written without quotation marks."""

    __slots__ = ()


@dataclass(frozen=True)
class TritonOptions:
    """How Triton runs a bundle.

    Attributes:
        platform: what executes the graphs.
        device: what they run on; one instance group for each graph.
        instances: copies of each graph on each device.
        max_batch: maximum of images of one run of a graph with a batch axis.
        queue_delay_us: longest wait for more requests to join a batch.
        max_queue: requests of one graph that may wait in Triton; more are refused.
        threads: of onnxruntime on a CPU within one operator; 0 is one per core.
        keep_versions: versions served at the same time, the latest ones.
    """

    platform: Platform
    device: Device
    instances: int = 1
    max_batch: int = 8
    queue_delay_us: int = 500
    max_queue: int = 256
    threads: int = 0
    keep_versions: int = 2


def graph_config(bundle: Bundle, graph: str, options: TritonOptions, digests: Mapping[int, str]) -> str:
    """Return the text of ``config.pbtxt``.

    Args:
        digests: of the bundle behind each version in the repository.
    """
    spec = bundle.graphs[graph]
    batched = has_batch_axis(spec)
    sizes = axis_sizes(bundle, graph, options.max_batch)
    config: dict[str, Any] = {
        "name": graph,
        **BACKENDS[options.platform],
        "max_batch_size": options.max_batch if batched else 0,
        "input": [_tensor(tensor, batched=batched) for tensor in spec.inputs],
        "output": [_tensor(tensor, batched=batched) for tensor in spec.outputs],
        # A graph without a batch axis goes through the same queue, one request at a time.
        "dynamic_batching": {
            **({"max_queue_delay_microseconds": options.queue_delay_us} if batched else {}),
            "default_queue_policy": {
                "timeout_action": Word("REJECT"),
                "default_timeout_microseconds": MAX_QUEUE_US,
                "allow_timeout_override": True,
                "max_queue_size": options.max_queue,
            },
        },
        "instance_group": [_instances(options, len(engine_profiles(sizes, graph)))],
        "version_policy": {"latest": {"num_versions": options.keep_versions}},
        **({"optimization": _tensorrt_in_onnxruntime(graph)} if options.platform == "ort-trt" else {}),
        "parameters": [
            {"key": key, "value": {"string_value": value}} for key, value in _parameters(options, digests).items()
        ],
        "model_warmup": [_warm_up(spec.inputs, row, batched=batched) for row in warm_up_sizes(sizes)],
    }
    return "\n".join(_lines(config)) + "\n"


def _tensor(tensor: TensorSpec, *, batched: bool) -> dict[str, Any]:
    data_type = Word(f"TYPE_{TRITON_TYPES[tensor.dtype]}")
    return {"name": tensor.name, "data_type": data_type, "dims": triton_dims(tensor, batched=batched)}


def _instances(options: TritonOptions, profiles: int) -> dict[str, Any]:
    indices = [str(index) for index in range(profiles)] if options.platform == "tensorrt" else []
    return {
        "kind": Word(f"KIND_{options.device.upper()}"),
        "count": options.instances,
        **({"profile": indices} if indices else {}),
    }


def _parameters(options: TritonOptions, digests: Mapping[int, str]) -> dict[str, str]:
    # Triton's onnxruntime backend knows this name; the model.py of platform `python` reads it too.
    threads = {} if options.platform == "tensorrt" else {"intra_op_thread_count": str(options.threads)}
    return threads | {digest_parameter(version): digest for version, digest in digests.items()}


def _tensorrt_in_onnxruntime(graph: str) -> dict[str, Any]:
    parameters = {
        "precision_mode": "FP16",
        "max_workspace_size_bytes": str(WORKSPACE_BYTES),
        "trt_engine_cache_enable": "true",
        "trt_engine_cache_path": f"/tmp/weaksam-engines/{graph}",  # noqa: S108 - in Triton's own container
    }
    accelerator = {
        "name": "tensorrt",
        "parameters": [{"key": key, "value": value} for key, value in parameters.items()],
    }
    return {"execution_accelerators": {"gpu_execution_accelerator": [accelerator]}}


def _warm_up(inputs: Sequence[TensorSpec], sizes: Sizes, *, batched: bool) -> dict[str, Any]:
    filled = [
        {
            "key": tensor.name,
            "value": {
                "data_type": Word(f"TYPE_{TRITON_TYPES[tensor.dtype]}"),
                "dims": list(concrete_shape(tensor, sizes)[int(batched) :]),
                "zero_data": True,
            },
        }
        for tensor in inputs
    ]
    return {
        "name": " ".join(f"{letter}={size}" for letter, size in sizes.items()) or "fixed",
        # Triton skips a sample of batch size 0 without a word; a model without batches takes 1.
        "batch_size": sizes[BATCH_AXIS] if batched else 1,
        "inputs": filled,
    }


def _lines(message: Mapping[str, Any], indent: str = "") -> list[str]:
    """Return a message in protobuf's text format; a list of messages is a repeated field, scalars stand in brackets."""
    lines = []
    for field, value in message.items():
        for item in value if isinstance(value, list) and isinstance(value[0], dict) else [value]:
            if isinstance(item, dict):
                lines += [f"{indent}{field} {{", *_lines(item, indent + "  "), f"{indent}}}"]
            else:
                lines.append(f"{indent}{field}: {item if isinstance(item, Word) else json.dumps(item)}")
    return lines
