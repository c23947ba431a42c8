"""Each numpy stage between an image and its detections, on one made-up scene: values that nobody changes unawares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from models.letterbox import Letterbox
from models.masks.drawing import mask_box, paste_mask
from models.postprocess import detector_detections, select_detections
from models.prompting.peaks import Peaks, find_peaks
from models.prompting.prompts import DecodedBatch, PromptBatch, split_prompts
from models.prompting.proposals import ProposalSet, propose, run_proposing
from models.settings import PostSettings, PromptSettings
from tests.golden import kept_arrays
from tests.golden.kept_arrays import assert_golden
from training.metrics.score_thresholds import best_f1_threshold, tag_recall_threshold, thresholds_by_class

IMAGE_HW = (48, 80)
SIDE_PX = 64
LETTERBOX = Letterbox(IMAGE_HW, SIDE_PX)
# Blobs of three things: centre x, y and radius in pixels of the input, and the class of each.
THINGS = np.array([[16, 12, 8], [44, 20, 6], [52, 30, 5]], np.float32)
CLASSES = (0, 1, 1)
SETTINGS = PromptSettings(peak_window_px=9, grid_sides=(3, 6), max_prompts=64, grid_min_iou=0.2, grid_min_stability=0.2)


def rows(of: object, *names: str) -> dict[str, npt.NDArray[np.generic]]:
    return {name: getattr(of, name) for name in names}


def class_maps() -> npt.NDArray[np.float32]:
    """Maps [1,2,16,16] with a hill over each thing of its class."""
    y, x = np.mgrid[0:16, 0:16] * 4 + 2
    maps = np.zeros((1, 2, 16, 16), np.float32)
    for (cx, cy, radius), label in zip(THINGS, CLASSES, strict=True):
        maps[0, label] += np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * radius**2))
    return maps


def decode(batch: PromptBatch) -> DecodedBatch:
    """A segmenter that answers with the nearest thing, whole and half, surer the nearer the point is."""
    points_xy = batch.coords[:, 0]
    distances = np.linalg.norm(points_xy[:, None] - THINGS[None, :, :2], axis=2)
    nearest = THINGS[distances.argmin(axis=1)]
    scales = np.array([0.5, 1.0, 1.3], np.float32)
    half_px = nearest[:, None, 2:] * scales[None, :, None]
    boxes = np.concatenate([nearest[:, None, :2] - half_px, nearest[:, None, :2] + half_px], axis=2)
    sureness = np.exp(-distances.min(axis=1) / 16)[:, None] * np.array([0.8, 1.0, 0.7])
    return DecodedBatch(boxes.astype(np.float32), sureness.astype(np.float32), sureness.astype(np.float32) ** 0.5)


@pytest.fixture(scope="module")
def peaks() -> Peaks:
    return find_peaks(class_maps(), (0, 1), SIDE_PX, LETTERBOX.valid_hw, SETTINGS, ("coarse",))


@pytest.fixture(scope="module")
def proposal_set(peaks: Peaks) -> ProposalSet:
    return run_proposing(propose(peaks, LETTERBOX.valid_hw, SETTINGS), decode, (4, 8))


def test_letterbox() -> None:
    y, x = np.mgrid[0 : IMAGE_HW[0], 0 : IMAGE_HW[1]]
    image_hwc_u8 = np.stack([2 * x, 4 * y, (x * y) % 256], axis=2).astype(np.uint8)
    boxes_xyxy = np.array([[10, 5, 70, 40]], np.float32)
    square = LETTERBOX.apply(image_hwc_u8, (127, 127, 127))
    assert_golden("letterbox_image", {"square": square}, tolerance=1)
    assert_golden("letterbox_boxes", {"boxes_xyxy": LETTERBOX.boxes_to_input(boxes_xyxy)}, tolerance=1e-4)


def test_peaks(peaks: Peaks) -> None:
    assert_golden("peaks", rows(peaks, "points_xy", "labels", "values"), tolerance=1e-4)


def test_prompts() -> None:
    coords = np.arange(20, dtype=np.float32).reshape(5, 2, 2)
    runs = split_prompts(PromptBatch(coords, np.tile(np.array([1, -1], np.float32), (5, 1))), (2, 4))
    arrays = {f"{name}_{i}": getattr(run, name) for i, run in enumerate(runs) for name in ("coords", "labels")}
    assert_golden("prompts", arrays, tolerance=0)


def test_proposals(proposal_set: ProposalSet) -> None:
    names = ("boxes_xyxy", "predicted_iou", "stability", "prompts", "levels", "from_peak")
    assert_golden("proposals", rows(proposal_set.proposals, *names), tolerance=1e-4)


def test_selection_of_scored_proposals(proposal_set: ProposalSet) -> None:
    proposals = proposal_set.proposals
    rng = np.random.default_rng(5)
    scores = rng.random((len(proposals), 2), np.float32)
    deltas = rng.normal(0, 0.5, (len(proposals), 1, 4)).astype(np.float32)
    found = select_detections(
        proposals.boxes_xyxy, scores, deltas, proposals.predicted_iou, (0, 1), LETTERBOX.valid_hw, PostSettings()
    )
    assert_golden("selection", rows(found, "boxes_xyxy", "scores", "labels", "sources"), tolerance=1e-4)


def test_detector_output() -> None:
    boxes_xyxy = np.array([[-3, 2, 20, 30], [10, 30, 40, 60], [5, 45, 9, 60]], np.float32)
    found = detector_detections(
        boxes_xyxy, np.array([0.9, 0.8, 0.7], np.float32), np.array([1, 0, 0]), LETTERBOX.valid_hw
    )
    assert_golden("detector_output", rows(found, "boxes_xyxy", "scores", "labels", "sources"), tolerance=1e-4)


def test_mask_rendering() -> None:
    y, x = np.mgrid[0:16, 0:16]
    disc = (6.0 - np.hypot(x - 7.5, y - 7.5)).astype(np.float32)
    mask_hw = paste_mask(disc, np.array([20.3, 4.6, 61.2, 41.9], np.float32), IMAGE_HW)
    logits = np.kron(disc, np.ones((16, 16), np.float32))
    arrays = {"pasted": mask_hw, "box": mask_box(mask_hw), "to_image": LETTERBOX.mask_to_image(logits)}
    assert_golden("mask_rendering", arrays, tolerance=0.01)


def test_calibration() -> None:
    rng = np.random.default_rng(6)
    tags = (rng.random((40, 3)) < 0.4).astype(np.float32)
    scores = (rng.random((40, 3)) * 0.6 + 0.3 * tags).astype(np.float32)
    rules = {"recall": tag_recall_threshold, "f1": best_f1_threshold}
    found = {name: np.array(thresholds_by_class(scores, tags, rule)) for name, rule in rules.items()}
    assert_golden("calibration", found, tolerance=1e-4)


def test_another_value_is_told_with_the_command_that_accepts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_arrays, "FOLDER", tmp_path)
    monkeypatch.setenv("GOLDEN_ACCEPT", "1")
    assert_golden("one", {"x": np.zeros(3)}, tolerance=0)
    monkeypatch.delenv("GOLDEN_ACCEPT")
    assert_golden("one", {"x": np.full(3, 0.1)}, tolerance=0.2)
    for changed in ({"x": np.full(3, 0.3)}, {"x": np.zeros(4)}, {"y": np.zeros(3)}):
        with pytest.raises(AssertionError, match="GOLDEN_ACCEPT=1 pytest tests/golden"):
            assert_golden("one", changed, tolerance=0.2)
    with pytest.raises(AssertionError, match=r"two\.npz is missing"):
        assert_golden("two", {"x": np.zeros(3)}, tolerance=0)
