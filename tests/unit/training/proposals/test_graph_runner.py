"""Where onnxruntime works; the GPU itself is not to be had here."""

from __future__ import annotations

from collections.abc import Iterator

import onnxruntime
import pytest
import torch

from training.proposals.graph_runner import inference_device


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    inference_device.cache_clear()
    yield
    inference_device.cache_clear()


@pytest.mark.parametrize(
    ("gpu", "providers", "device", "warned"),
    [
        pytest.param(False, ["CPUExecutionProvider"], "cpu", False, id="no-gpu"),
        pytest.param(True, ["CUDAExecutionProvider", "CPUExecutionProvider"], "cuda", False, id="gpu"),
        pytest.param(True, ["CPUExecutionProvider"], "cpu", True, id="onnxruntime-without-cuda"),
    ],
)
def test_a_gpu_that_onnxruntime_cannot_use_is_told_of(
    gpu: bool,
    providers: list[str],
    device: str,
    warned: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    assert [inference_device(), inference_device()] == [device, device]
    assert capsys.readouterr().err.count("pip install -e '.[gpu,train]'") == int(warned)
