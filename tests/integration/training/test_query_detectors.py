"""D-FINE and Mask2Former from pseudo ground truth to bundles that answer requests, embedded and on a real Triton."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file

from deploy.export.bundle import export_bundle
from models.boxes import pairwise_iou
from models.bundle import Bundle
from models.bundle_files.manifest import load_bundle
from models.nets.backbone import MEAN_RGB
from models.run_folder import open_run
from models.settings import BundleConfig
from service.app import create_app
from tests.support.bundles.service_parts import PATIENCE_S, tiny_settings
from tests.support.bundles.tiny_bundle import LABELS, write_tiny_bundle
from tests.support.servers.live_server import live_server
from tests.support.trainings.patches import SIDE_PX, make_patches, run_detector, write_pseudo_labels
from tests.support.triton.fixtures import tiny_repository
from tests.support.triton.server import running_triton
from training.data.tagged import TaggedImage
from training.detector.report import report_detector
from weaksam.formats.run_lengths import decode_rle

STEPS = 140
DFINE = (
    "architecture=dfine",
    "rcnn.mask_channels=0",
    "dfine.queries=12",
    "dfine.channels=32",
    "dfine.hidden=64",
    "dfine.heads=4",
    "dfine.decoder_layers=2",
    "dfine.denoising=20",
    "lr=2e-3",
)
MASK2FORMER = (
    "architecture=mask2former",
    "mask2former.queries=6",
    "mask2former.channels=32",
    "mask2former.hidden=64",
    "mask2former.heads=4",
    "mask2former.encoder_layers=1",
    "mask2former.decoder_layers=2",
    "mask2former.points=128",
    "lr=2e-3",
)
SHORT = ("steps=6", "checkpoint_steps=4", "drop_from_step=2")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[TaggedImage]:
    return make_patches(tmp_path_factory.mktemp("patches") / "images", 8)


@pytest.fixture(scope="module")
def labels_json(images: list[TaggedImage], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pseudo_labels(images, tmp_path_factory.mktemp("pgt"))


@pytest.fixture(scope="module", params=[DFINE, MASK2FORMER], ids=["dfine", "mask2former"])
def run(
    request: pytest.FixtureRequest,
    images: list[TaggedImage],
    labels_json: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    out = tmp_path_factory.mktemp("runs") / "detector"
    no_drop = f"drop_from_step={STEPS}"
    run_detector(images, labels_json, out, *request.param, f"steps={STEPS}", "checkpoint_steps=1000", no_drop)
    report_detector(out, images)
    return out


@pytest.fixture(scope="module")
def bundle(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny bundle with the trained network as its detector, and its masks if it has any."""
    tiny = write_tiny_bundle(tmp_path_factory.mktemp("tiny"))
    graphs = {name: replace(spec, fill_rgb=MEAN_RGB) for name, spec in tiny.graphs.items()}
    tiny = replace(tiny, graphs=graphs, provenance={"runs": {"sam": {}}})
    out = tmp_path_factory.mktemp("bundles") / "with_queries"
    has_masks = json.loads((run / "config.json").read_text())["architecture"] == "mask2former"
    post = replace(tiny.post, mask_source="detector" if has_masks else "box")
    export_bundle(tiny, tiny, None, BundleConfig("queries", "1", tiny.prompts, post), out, open_run(run, "detector"))
    return load_bundle(out)


def detected(
    client: httpx.Client, images: list[TaggedImage], own_masks: bool
) -> list[list[tuple[str, float, list[float]]]]:
    """What the detector, and nothing else of the service, finds in each image."""
    found = []
    for image in images:
        answer = client.post("/detect", files={"image": image.path.read_bytes()}, data={"tags": ",".join(image.tags)})
        assert answer.status_code == 200, answer.text
        rows = [row for row in answer.json()["detections"] if row["source"] == "detector"]
        assert {row["label"] for row in rows} <= set(image.tags)
        found.append([(row["label"], row["score"], row["box_xyxy"]) for row in rows])
        # A mask of the network's own lies over its box, whatever frame the graph gives its logits in.
        drawn = [(decode_rle(row["mask"]), row["box_xyxy"]) for row in rows if own_masks]
        ious = [pairwise_iou(_extent(mask), np.array([box], np.float32))[0, 0] for mask, box in drawn]
        assert all(iou > 0.5 for iou in ious)
    return found


def _extent(mask_hw: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    y, x = np.nonzero(mask_hw)
    return np.array([[x.min(), y.min(), x.max() + 1, y.max() + 1]], np.float32)


def test_it_learns_its_images_and_is_exported(run: Path, bundle: Bundle) -> None:
    report = json.loads((run / "report.json").read_text())
    assert report["ap50_tagged"] >= 0.35
    spec = bundle.graphs["detector"]
    # D-FINE takes any size; Mask2Former the one that it was exported with, and its masks have a quarter of the side.
    size = (SIDE_PX, SIDE_PX) if bundle.detector_masks else ("H", "W")
    quarter = {"masks": ("D", SIDE_PX // 4, SIDE_PX // 4), "mask_frames": ("D", 4)} if bundle.detector_masks else {}
    assert {tensor.name: tensor.shape for tensor in (*spec.inputs, *spec.outputs)} == {
        "image": (1, *size, 3),
        "allowed": (len(LABELS),),
        "boxes": ("D", 4),
        "labels": ("D",),
        "scores": ("D",),
        **quarter,
    }
    assert spec.side_px == SIDE_PX
    assert spec.max_abs_difference["scores"] < 0.01


def test_the_service_answers_with_it_embedded_and_on_triton(
    bundle: Bundle, images: list[TaggedImage], tmp_path: Path
) -> None:
    with (
        live_server(create_app(tiny_settings(bundle.folder))) as url,
        httpx.Client(base_url=url, timeout=PATIENCE_S) as client,
    ):
        embedded = detected(client, images, bool(bundle.detector_masks))
    hits = 0
    for image, rows in zip(images, embedded, strict=True):
        for thing in image.objects:
            boxes = np.array([box for label, _, box in rows if label == thing.label], np.float32).reshape(-1, 4)
            hits += bool(pairwise_iou(np.array([thing.box_xyxy], np.float32), boxes).max(initial=0) >= 0.5)
    assert hits >= 0.3 * sum(len(image.objects) for image in images)
    with running_triton(tiny_repository(bundle, tmp_path / "repository")) as server:
        settings = tiny_settings(bundle.folder, backend="triton", triton_urls=server.grpc_url)
        with live_server(create_app(settings)) as url, httpx.Client(base_url=url, timeout=PATIENCE_S) as client:
            served = detected(client, images, bool(bundle.detector_masks))
    for one, other in zip(embedded, served, strict=True):
        assert [label for label, _, _ in one] == [label for label, _, _ in other]
        for (_, score, box), (_, served_score, served_box) in zip(one, other, strict=True):
            assert served_score == pytest.approx(score, abs=1e-3)
            np.testing.assert_allclose(served_box, box, atol=0.5)


@pytest.mark.parametrize("settings", [DFINE, MASK2FORMER], ids=["dfine", "mask2former"])
def test_a_run_cut_off_at_a_checkpoint_ends_with_the_same_weights(
    settings: tuple[str, ...],
    images: list[TaggedImage],
    labels_json: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unbroken = load_file(run_detector(images, labels_json, tmp_path / "unbroken", *settings, *SHORT))

    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("training.detector.train.save_weights", cut_off)
        with pytest.raises(KeyboardInterrupt):
            run_detector(images, labels_json, tmp_path / "run", *settings, *SHORT)
    resumed = load_file(run_detector(images, labels_json, tmp_path / "run", *settings, *SHORT))
    for name, tensor in unbroken.items():
        torch.testing.assert_close(resumed[name], tensor, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "terms", "precision"),
    [
        pytest.param(DFINE, ("loss_box", "loss_giou", "loss_corners"), "32-true", id="dfine"),
        pytest.param(DFINE, ("loss_box", "loss_giou", "loss_corners"), "bf16-mixed", id="dfine-mixed"),
        pytest.param(MASK2FORMER, ("loss_mask", "loss_dice"), "bf16-mixed", id="mask2former-mixed"),
    ],
)
def test_query_drop_begins_after_its_warm_up(
    settings: tuple[str, ...],
    terms: tuple[str, ...],
    images: list[TaggedImage],
    labels_json: Path,
    tmp_path: Path,
    precision: str,
) -> None:
    none = ("drop.unit=absolute", "drop.classification=-1.0", "drop.regression=-1.0")
    run_detector(images, labels_json, tmp_path, *settings, *SHORT, "steps=4", f"precision={precision}", *none)
    for row in (json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()):
        drops = row["step"] >= 2
        assert row["dropped"] == (row["foreground"] if drops else 0)
        assert (max(row[name] for name in terms) == 0) == drops
        assert row["loss_class"] > 0
        assert row["judged_dropped"] + row["judged_kept"] == row["foreground"] > 0
