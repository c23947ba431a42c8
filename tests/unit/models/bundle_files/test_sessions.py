from __future__ import annotations

from types import SimpleNamespace

import onnxruntime
import pytest

from models.bundle import DEFAULT_BUNDLE
from models.bundle_files.sessions import PROVIDERS, DeviceError, open_session

GRAPH = DEFAULT_BUNDLE / "cam.onnx"


def test_a_gpu_that_did_not_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def on_cpu(path: object, options: object, providers: list[object]) -> SimpleNamespace:
        asked.extend(providers)
        return SimpleNamespace(get_providers=lambda: [PROVIDERS["cpu"]])

    monkeypatch.setattr(onnxruntime, "InferenceSession", on_cpu)
    options = onnxruntime.SessionOptions()
    open_session(GRAPH, options, "cpu", 0)
    with pytest.raises(DeviceError, match="device is 'cuda', but CUDAExecutionProvider did not start: check driver"):
        open_session(GRAPH, options, "cuda", 3)
    assert asked == [PROVIDERS["cpu"], (PROVIDERS["cuda"], {"device_id": 3})]
