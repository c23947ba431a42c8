"""Platform `python`: a copy of this file lies as ``model.py`` beside each ``model.onnx`` and runs it in onnxruntime.

It knows nothing of this project: Triton's Python backend imports it, where only numpy and onnxruntime are installed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """One instance; Triton calls it with the requests that it put into one batch."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the graph on the device that the configuration names."""
        config = json.loads(args["model_config"])
        self._batched = config["max_batch_size"] > 0
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._output_count = len(config["output"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(config["parameters"]["intra_op_thread_count"]["string_value"])
        # Instances share the cores: one that spins for more work would take them from the next.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        on_gpu = args["model_instance_kind"] == "GPU"
        device = {"device_id": args["model_instance_device_id"]}
        provider: Any = ("CUDAExecutionProvider", device) if on_gpu else "CPUExecutionProvider"
        path = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self._session = onnxruntime.InferenceSession(path, options, providers=[provider])
        # A provider that fails to start is replaced by the CPU in silence.
        if on_gpu and self._session.get_providers()[0] != "CUDAExecutionProvider":
            raise pb_utils.TritonModelException("CUDAExecutionProvider did not start: install onnxruntime-gpu")

    def execute(self, requests: list[Any]) -> list[Any]:
        """Run all requests at once along the batch axis, or one by one if there is none."""
        groups = [requests] if self._batched else [[request] for request in requests]
        return [response for group in groups for response in self._respond(group)]

    def _respond(self, requests: list[Any]) -> list[Any]:
        try:
            return self._run(requests)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong must be answered, or the callers wait for ever
            failed = pb_utils.TritonError(f"onnxruntime: {error}")
            return [pb_utils.InferenceResponse(error=failed) for _ in requests]

    def _run(self, requests: list[Any]) -> list[Any]:
        given = [
            {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self._inputs}
            for request in requests
        ]
        wanted = list(dict.fromkeys(name for request in requests for name in request.requested_output_names()))
        options = onnxruntime.RunOptions()
        # Without this, outputs that were not asked for are computed all the same.
        options.only_execute_path_to_fetches = len(wanted) < self._output_count
        joined = {name: _join([row[name] for row in given]) for name in self._inputs}
        found = dict(zip(wanted, self._session.run(wanted, joined, options), strict=True))
        ends = np.cumsum([len(row[self._inputs[0]]) for row in given])
        return [
            pb_utils.InferenceResponse(
                [
                    pb_utils.Tensor(name, found[name] if len(requests) == 1 else found[name][start:end])
                    for name in request.requested_output_names()
                ]
            )
            for request, start, end in zip(requests, [0, *ends[:-1]], ends, strict=True)
        ]


def _join(arrays: list[Any]) -> Any:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
