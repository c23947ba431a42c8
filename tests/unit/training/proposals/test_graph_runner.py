"""How often images are decoded, and where onnxruntime works; the GPU itself is not to be had here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import torch

from models.image import read_image
from tests.support.bundles.tiny_bundle import write_tiny_bundle
from tests.support.trainings.patches import make_patches
from training.proposals import graph_runner
from training.proposals.graph_runner import GraphRunner, inference_device


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


def test_an_image_is_decoded_once_for_graphs_of_two_sizes_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []

    def counted(path: Path) -> npt.NDArray[np.uint8]:
        decoded.append(path.name)
        return read_image(path)

    monkeypatch.setattr(graph_runner, "read_image", counted)
    (tmp_path / "bundle").mkdir()
    bundle = write_tiny_bundle(tmp_path / "bundle")
    runner = GraphRunner(
        replace(bundle, graphs={**bundle.graphs, "cam": replace(bundle.graphs["cam"], side_px=96)}), threads=1
    )
    first, second = make_patches(tmp_path / "images", 2)
    asked = [(image, graph) for image in (first, second, first) for graph in ("cam", "sam_encoder", "cam", "wsod")]
    for image, graph in asked:
        letterbox, square = runner.letterboxed(image, graph)
        fill_rgb = bundle.graphs[graph].fill_rgb
        assert letterbox.side_px == (96 if graph == "cam" else 64)
        assert np.array_equal(square[0], letterbox.apply(read_image(image.path), fill_rgb))
    assert decoded == ["00.png", "01.png", "00.png"]
