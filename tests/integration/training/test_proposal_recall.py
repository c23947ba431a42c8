"""Recall of proposals by kind of prompt, and of boxes that another interpreter finds."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import cv2
import pytest
from PIL import Image

from models.bundle import DEFAULT_BUNDLE, Bundle
from tests.support.bundles.service_parts import BLUE, RED
from tests.support.bundles.tiny_bundle import picture
from training.evaluation.proposal_recall import evaluate_proposals
from weaksam.formats.voc import VocObject, write_voc_annotation

BOXES = {"red-bolt": (4.0, 8.0, 20.0, 24.0), "blue-wrench": (36.0, 40.0, 52.0, 56.0)}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two images of a red and a blue patch; only the red one is tagged in the second."""
    root = tmp_path / "voc"
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / name).mkdir(parents=True)
    red, blue = (tuple(map(int, box)) for box in BOXES.values())
    drawn = picture((red, RED), (blue, BLUE))
    for image_id, labels in (("a", ("red-bolt", "blue-wrench")), ("b", ("red-bolt",))):
        Image.fromarray(drawn).save(root / "JPEGImages" / f"{image_id}.png")
        things = [VocObject(label, BOXES[label]) for label in labels]
        write_voc_annotation(root / "Annotations" / f"{image_id}.xml", f"{image_id}.png", (64, 64), things)
    (root / "ImageSets" / "Main" / "test.txt").write_text("a\nb\n")
    (root / "labels.txt").write_text("red-bolt\nblue-wrench\n")
    return root


def interpreter(path: Path, code: str) -> Path:
    """A stand-in for the interpreter of another environment."""
    path.write_text(f"#!{sys.executable}\n{code}")
    path.chmod(0o755)
    return path


def test_every_kind_of_prompt_is_measured_on_the_same_images(tiny_bundle: Bundle, data: Path) -> None:
    report = evaluate_proposals(tiny_bundle.folder, data, "test", threads=1)
    assert (report["images"], report["objects"], report["max_proposals"]) == (2, 3, 50)
    ways = report["ways"]
    assert set(ways) == {"cam", "map_or_grid", "both"}
    # The tiny networks know pure colours exactly: a peak lies on each tagged patch, and the grid meets every patch.
    assert all(way["recall"]["0.5"] == 1.0 for way in ways.values())
    assert ways["cam"]["proposals_per_image"] < ways["both"]["proposals_per_image"]


def test_prompts_of_the_classifier_alone_leave_the_prompt_map_out(fod_a_dir: Path) -> None:
    ways = evaluate_proposals(DEFAULT_BUNDLE, fod_a_dir, "test", limit=4)["ways"]
    assert ways["cam"]["proposals_per_image"] < ways["both"]["proposals_per_image"]


def test_selective_search_is_measured_at_the_same_count(tiny_bundle: Bundle, data: Path, tmp_path: Path) -> None:
    # The third best box is the first that hits anything, and our own proposals are fewer than its fifty.
    boxes = [[0, 0, 1, 1], [0, 0, 2, 2], list(BOXES["red-bolt"]), *[[0, 0, 3, 3]] * 46, list(BOXES["blue-wrench"])]
    code = f"""
import json, sys
assert sys.argv[2:] == ["50", "fast"]
json.dump([{boxes}] * len(json.load(sys.stdin)), sys.stdout)
"""
    python = interpreter(tmp_path / "python", code)
    ways = evaluate_proposals(tiny_bundle.folder, data, "test", threads=1, search_python=python)["ways"]
    assert ways["selective_search"]["proposals_per_image"] == 50
    assert ways["selective_search"]["recall"] == {"0.5": 1.0, "0.75": 1.0, "0.9": 1.0}
    equal = ways["selective_search_equal_count"]
    assert 3 <= equal["proposals_per_image"] == ways["both"]["proposals_per_image"] < 50
    assert equal["recall"]["0.5"] == pytest.approx(2 / 3, abs=1e-4)


def test_an_opencv_without_the_contrib_modules_is_one_sentence(tiny_bundle: Bundle, data: Path) -> None:
    if hasattr(cv2, "ximgproc"):
        pytest.skip("this environment's OpenCV has the contrib modules")
    with pytest.raises(ValueError, match=r"failed: .+ has no OpenCV with ximgproc: pip install opencv-contrib"):
        evaluate_proposals(tiny_bundle.folder, data, "test", threads=1, search_python=Path(sys.executable))


def test_selective_search_itself(tiny_bundle: Bundle, data: Path) -> None:
    python = os.environ.get("SELECTIVE_SEARCH_PYTHON")
    if python is None:
        pytest.skip("SELECTIVE_SEARCH_PYTHON names no interpreter with opencv-contrib-python-headless")
    ways = evaluate_proposals(tiny_bundle.folder, data, "test", threads=1, search_python=Path(python))["ways"]
    assert ways["selective_search"]["recall"]["0.5"] == 1.0
    assert 1 <= ways["selective_search"]["proposals_per_image"] <= 50


def test_images_without_boxes_are_refused(tiny_bundle: Bundle, tmp_path: Path) -> None:
    folder = tmp_path / "red-bolt"
    folder.mkdir()
    Image.fromarray(picture()).save(folder / "x.png")
    with pytest.raises(ValueError, match="no image with boxes in split 'train'"):
        evaluate_proposals(tiny_bundle.folder, tmp_path, "train", threads=1)
