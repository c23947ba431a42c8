"""Opens a bundle's graphs in onnxruntime, on the CPU or one GPU. TensorRT would stall at every new shape."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import onnxruntime

from weaksam.errors import UserError

Device = Literal["cpu", "cuda"]
PROVIDERS: Mapping[Device, str] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class DeviceError(UserError):
    """The GPU did not start."""


def open_session(
    path: Path, options: onnxruntime.SessionOptions, device: Device, device_index: int
) -> onnxruntime.InferenceSession:
    """Open a graph on the device; `device_index` is the number of the GPU.

    Raises:
        DeviceError: the GPU did not start. onnxruntime would take the CPU and say nothing.
    """
    wanted = PROVIDERS[device]
    provider = (wanted, {"device_id": device_index}) if device == "cuda" else wanted
    session = onnxruntime.InferenceSession(path, options, providers=[provider])
    if session.get_providers()[0] != wanted:
        raise DeviceError(f"device is {device!r}, but {wanted} did not start: check driver and CUDA libraries")
    return session
