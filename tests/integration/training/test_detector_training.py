"""The retrained detector from pseudo ground truth to the exported graph, in seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file

from deploy.export.detector_plan import detector_plan, pair_detections
from deploy.export.onnx_graph import ExportError, export_graph, largest_difference
from models.boxes import pairwise_iou
from models.bundle import GraphSpec
from models.config import config_from_values
from models.image import read_image
from models.masks.drawing import paste_mask
from models.nets.detectors.detector import Detector
from models.nets.detectors.rcnn import Rcnn
from models.nets.graphs import DetectorGraph
from tests.support.bundles.tiny_bundle import LABELS
from tests.support.trainings.patches import SIDE_PX, make_patches, run_detector, write_pseudo_labels
from training.data.tagged import TaggedImage
from training.detector.config import DetectorConfig
from training.detector.inference import detect_augmented, detect_image
from training.detector.report import measure_detector, report_detector
from training.detector.train import load_detector
from training.metrics.score_thresholds import MAX_DETECTOR_THRESHOLD, MIN_DETECTOR_THRESHOLD
from weaksam.errors import UserError
from weaksam.formats.polygons import mask_iou
from weaksam.formats.run_lengths import decode_rle

STEPS = 120
EVERYTHING = np.ones(len(LABELS), np.float32)
SHORT = ("steps=6", "checkpoint_steps=4", "drop_from_step=2")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[TaggedImage]:
    return make_patches(tmp_path_factory.mktemp("patches") / "images", 8)


@pytest.fixture(scope="module")
def labels_json(images: list[TaggedImage], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pseudo_labels(images, tmp_path_factory.mktemp("pgt"))


@pytest.fixture(scope="module")
def run(images: list[TaggedImage], labels_json: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "detector"
    run_detector(images, labels_json, out, f"steps={STEPS}", "checkpoint_steps=1000", f"drop_from_step={STEPS}")
    return out


@pytest.fixture(scope="module")
def net(run: Path) -> Detector:
    values = json.loads((run / "config.json").read_text())
    config = config_from_values(DetectorConfig, values, "config.json")
    return load_detector(run / "detector.safetensors", config, len(LABELS))


@pytest.fixture(scope="module")
def exported(run: Path, net: Detector, tmp_path_factory: pytest.TempPathFactory) -> tuple[GraphSpec, Path]:
    folder = tmp_path_factory.mktemp("bundle")
    pictures = np.load(run / "pictures.npy")
    return export_graph(detector_plan(net, pictures, len(LABELS)), folder, SIDE_PX), folder / "detector.onnx"


def log_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def picture_of(image: TaggedImage) -> npt.NDArray[np.uint8]:
    return np.array(read_image(image.path))  # writable, as torch wants it


def allowed_by(image: TaggedImage) -> npt.NDArray[np.float32]:
    return np.array([name in image.tags for name in LABELS.names], np.float32)


def test_it_learns_its_pictures(run: Path, net: Detector, images: list[TaggedImage]) -> None:
    losses = [sum(value for name, value in row.items() if name.startswith("loss_")) for row in log_of(run)]
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])
    found = 0
    for image in images:
        detections = detect_image(net, picture_of(image), SIDE_PX, allowed_by(image))
        for thing in image.objects:
            mine = detections[detections.labels == LABELS.index(thing.label)]
            box = np.array([thing.box_xyxy], np.float32)
            found += bool(pairwise_iou(box, mine.boxes_xyxy).max(initial=0) >= 0.5)
    assert found >= 0.7 * sum(len(image.objects) for image in images)


def test_it_learns_masks(net: Detector, images: list[TaggedImage]) -> None:
    ious = []
    for image in images:
        found = net.detect(torch.from_numpy(picture_of(image)[None]), torch.from_numpy(allowed_by(image)))
        for thing in image.objects:
            assert thing.mask_rle is not None
            truth = decode_rle(thing.mask_rle)
            masks = [
                paste_mask(m.detach().numpy(), b.detach().numpy(), truth.shape)
                for m, b in zip(found.masks, found.boxes_xyxy, strict=True)
            ]
            ious.append(max((mask_iou(mask, truth) for mask in masks), default=0.0))
    assert np.mean(ious) > 0.5


def test_the_graph_agrees_with_torch_at_other_sizes(exported: tuple[GraphSpec, Path]) -> None:
    spec, _ = exported
    shapes = {tensor.name: (tensor.dtype, tensor.shape) for tensor in (*spec.inputs, *spec.outputs)}
    assert shapes == {
        "image": ("uint8", (1, "H", "W", 3)),
        "allowed": ("float32", (3,)),
        "boxes": ("float32", ("D", 4)),
        "labels": ("int64", ("D",)),
        "scores": ("float32", ("D",)),
        "masks": ("float16", ("D", 28, 28)),
    }
    assert spec.max_abs_difference["labels"] == 0
    # A detection that only one side has would count with all of its score.
    assert spec.max_abs_difference["scores"] < 0.001
    assert spec.max_abs_difference["boxes"] < 0.1


def test_the_graph_finds_in_new_sizes_what_torch_finds(
    exported: tuple[GraphSpec, Path], net: Detector, images: list[TaggedImage]
) -> None:
    session = onnxruntime.InferenceSession(exported[1], providers=["CPUExecutionProvider"])
    both, one = 0, 0
    for image in images:
        picture = picture_of(image)
        for square in (picture, np.pad(picture, ((0, 32), (0, 0), (0, 0)), constant_values=128)):
            inputs = {"image": square[None], "allowed": EVERYTHING}
            with torch.inference_mode():
                expected = [t.numpy() for t in DetectorGraph(net)(*(torch.from_numpy(v) for v in inputs.values()))]
            left, right = (
                [np.asarray(column, np.float32) for column in side]
                for side in pair_detections(expected, session.run(None, inputs))
            )
            paired = (left[2] > 0) & (right[2] > 0)
            np.testing.assert_allclose(left[2][paired], right[2][paired], atol=0.001)
            np.testing.assert_allclose(left[0][paired], right[0][paired], atol=0.1)
            both += int(paired.sum())
            one += int((np.maximum(left[2], right[2])[~paired] > 0.1).sum())
    assert both >= len(images)
    # The order of sums may still move a detection over the threshold of suppression.
    assert one <= 0.02 * both


def test_a_graph_of_another_network_is_refused(exported: tuple[GraphSpec, Path], run: Path, net: Detector) -> None:
    assert isinstance(net, Rcnn)
    plan = detector_plan(net, np.load(run / "pictures.npy"), len(LABELS))
    session = onnxruntime.InferenceSession(exported[1], providers=["CPUExecutionProvider"])
    assert largest_difference(plan, session)["labels"] == 0
    with torch.no_grad():
        net.box_head.logits.bias[0] -= 3
    try:
        with pytest.raises(ExportError, match="detector: .* of the exported graph differs from torch"):
            largest_difference(plan, session)
    finally:
        with torch.no_grad():
            net.box_head.logits.bias[0] += 3


def test_the_closed_world_is_inside_the_graph(exported: tuple[GraphSpec, Path], images: list[TaggedImage]) -> None:
    session = onnxruntime.InferenceSession(exported[1], providers=["CPUExecutionProvider"])

    def best_scores(picture: npt.NDArray[np.uint8], allowed: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        _, labels, scores, _ = session.run(None, {"image": picture[None], "allowed": allowed})
        assert set(labels.tolist()) <= set(np.flatnonzero(allowed > 0.5).tolist())
        best = np.zeros(len(LABELS))
        np.maximum.at(best, labels, scores)
        return best

    for image in images:
        picture = picture_of(image)
        open_world = best_scores(picture, EVERYTHING)
        assert not best_scores(picture, 0 * EVERYTHING).any()
        for label in range(len(LABELS)):
            alone = best_scores(picture, np.eye(len(LABELS), dtype=np.float32)[label])
            assert alone[label] >= open_world[label] - 1e-6


def test_a_run_cut_off_at_a_checkpoint_ends_with_the_same_weights(
    images: list[TaggedImage], labels_json: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken = load_file(run_detector(images, labels_json, tmp_path / "unbroken", *SHORT))

    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("training.detector.train.save_weights", cut_off)
        with pytest.raises(KeyboardInterrupt):
            run_detector(images, labels_json, tmp_path / "run", *SHORT)
    assert not (tmp_path / "run" / "detector.safetensors").exists()
    resumed = load_file(run_detector(images, labels_json, tmp_path / "run", *SHORT))
    for name, tensor in unbroken.items():
        torch.testing.assert_close(resumed[name], tensor, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_roi_drop_begins_after_its_warm_up_and_takes_weight_from_all_heads(
    images: list[TaggedImage], labels_json: Path, tmp_path: Path, precision: str
) -> None:
    none = ("drop.unit=absolute", "drop.classification=-1.0", "drop.regression=-1.0", "drop.rpn=-1.0")
    run_detector(images, labels_json, tmp_path, *SHORT, "steps=4", f"precision={precision}", *none)
    for row in log_of(tmp_path):
        drops = row["step"] >= 2
        assert row["foreground"] > 0
        assert row["dropped"] == (row["foreground"] if drops else 0)
        assert (row["dropped_anchors"] > 0) == drops
        assert (row["loss_box"] == row["loss_mask"] == row["loss_rpn_box"] == 0) == drops
        assert row["loss_class"] > 0
        assert sum(row["rois_by_loss"]) == row["foreground"] == sum(row["judged_by_loss"])
        assert row["judged_dropped"] + row["judged_kept"] == row["foreground"]


def test_the_report_calibrates_from_tags_and_measures_augmentation(run: Path, images: list[TaggedImage]) -> None:
    report = json.loads(report_detector(run, images).read_text())
    assert report["ap50_tagged"] >= 0.3
    assert 0.1 <= report["ap50_tagged_augmented"] <= 1
    assert 0 <= report["ap50"] <= 1
    thresholds = json.loads((run / "thresholds.json").read_text())["score"]
    assert len(thresholds) == len(LABELS)
    assert MIN_DETECTOR_THRESHOLD <= min(thresholds) <= max(thresholds) <= MAX_DETECTOR_THRESHOLD
    untagged = [TaggedImage(i.id, i.path, i.size_hw, i.tags) for i in images]
    assert json.loads(report_detector(run, untagged).read_text()) == {
        "images": len(images),
        "ap50_tagged_per_class": {},
    }
    assert json.loads((run / "thresholds.json").read_text())["score"] == thresholds


def test_a_run_is_measured_on_boxes_and_on_its_own_masks(run: Path, images: list[TaggedImage]) -> None:
    measured = measure_detector(run, images)
    assert measured["ap50_tagged"] == json.loads(report_detector(run, images).read_text())["ap50_tagged"]
    assert 0.2 <= measured["mask_ap50"] <= 1
    assert measured["ap75_tagged"] <= measured["ap50_tagged"]
    assert measured["mask_ap75"] <= measured["mask_ap50"]
    assert measured["objects"] == sum(len(image.objects) for image in images)
    untagged = [TaggedImage(i.id, i.path, i.size_hw, i.tags) for i in images]
    with pytest.raises(UserError, match="no image has a true object"):
        measure_detector(run, untagged)


def test_a_mirror_image_gives_boxes_of_the_picture(net: Detector, images: list[TaggedImage]) -> None:
    image = max(images, key=lambda image: len(image.objects))
    picture = picture_of(image)
    mirrored = detect_image(net, np.ascontiguousarray(picture[:, ::-1]), SIDE_PX, allowed_by(image))
    turned_back = detect_image(net, picture, SIDE_PX, allowed_by(image), flip=True)
    boxes = mirrored.boxes_xyxy.copy()
    boxes[:, [0, 2]] = SIDE_PX - boxes[:, [2, 0]]
    np.testing.assert_allclose(turned_back.boxes_xyxy, boxes, atol=1e-3)
    merged = detect_augmented(net, picture, (64, 96), allowed_by(image))
    assert set(merged.labels.tolist()) <= set(np.flatnonzero(allowed_by(image)).tolist())
    for label in np.unique(merged.labels):
        mine = merged[merged.labels == label]
        assert (pairwise_iou(mine.boxes_xyxy, mine.boxes_xyxy) - np.eye(len(mine)) <= 0.5 + 1e-6).all()


def test_the_twin_learns_from_true_boxes_without_pseudo_labels(images: list[TaggedImage], tmp_path: Path) -> None:
    run_detector(images, None, tmp_path, *SHORT, "steps=1", "rcnn.mask_channels=0", "supervision=boxes")
    (row,) = log_of(tmp_path)
    assert "loss_mask" not in row
    assert row["wrong_kept"] == 0


BAD = {
    "side": (("side_px=100",), "side_px: must be multiples of 32"),
    "quantile": (("drop.unit=quantile", "drop.rpn=4.0"), "drop: quantiles must be in 0..1"),
    "nothing to learn from": ((), "annotations: there is no pseudo ground truth"),
}


@pytest.mark.parametrize(("overrides", "message"), BAD.values(), ids=list(BAD))
def test_settings_that_cannot_be_used_are_named(
    images: list[TaggedImage], tmp_path: Path, overrides: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        run_detector(images, None, tmp_path, *overrides)
