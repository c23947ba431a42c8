"""Weights of a classifier out of a bundle: a network that is given them answers as the bundle's graph does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from models.bundle import DEFAULT_BUNDLE
from models.bundle_files.manifest import load_bundle
from models.image import read_image
from models.letterbox import Letterbox
from models.nets.cam_weights import PYRAMID, load_cam_weights
from models.nets.checkpoint_files import read_weights
from models.nets.graphs import WsodGraph
from models.nets.wsod import build_wsod
from training.proposals.graph_runner import GraphRunner
from training.runs.cam_file import cam_file

SAMPLE = Path(__file__).resolve().parents[4] / "samples" / "runway.jpg"


def test_a_network_with_the_weights_of_a_bundle_answers_as_its_graph() -> None:
    bundle = load_bundle(DEFAULT_BUNDLE)
    net = build_wsod("mobilenetv2_100", len(bundle.labels), method="oicr", drop_share=0.0)
    load_cam_weights(net.features, cam_file(DEFAULT_BUNDLE), PYRAMID)
    head = {key: value for key, value in read_weights(bundle.path("wsod")).items() if key.startswith("head.")}
    assert set(net.load_state_dict(head, strict=False).unexpected_keys) == set()
    image_hwc_u8, spec = read_image(SAMPLE), bundle.graphs["wsod"]
    square = Letterbox(image_hwc_u8.shape[:2], spec.side_px).apply(image_hwc_u8, spec.fill_rgb)
    corners = np.sort(np.random.default_rng(0).random((1, 40, 2, 2)) * spec.side_px, axis=2)
    inputs: dict[str, npt.NDArray[np.generic]] = {
        "image": square[None],
        "boxes": corners.reshape(1, 40, 4).astype(np.float32),
        "valid": np.ones((1, 40), np.float32),
    }
    with torch.no_grad():
        ours = WsodGraph(net.eval())(*(torch.from_numpy(value) for value in inputs.values()))
    served = GraphRunner(bundle, threads=1).run("wsod", inputs, ("scores", "deltas"))
    assert served[0].max() > 0.01
    for tensor, array in zip(ours, served, strict=True):
        np.testing.assert_allclose(tensor.numpy(), array, atol=2e-3)


def test_a_folder_without_a_classifier_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cam: .* is no finished run of `weaksam train cam` and no bundle"):
        cam_file(tmp_path)
