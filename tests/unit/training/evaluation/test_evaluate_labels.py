"""`weaksam evaluate-labels`: labels on disk against true boxes of the same images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from training.evaluation.evaluate_labels import evaluate_labels
from weaksam.cli import main as command_line
from weaksam.errors import UserError
from weaksam.formats.coco import Row, annotation_row, category_rows, image_row, write_dataset
from weaksam.formats.run_lengths import encode_rle

LABELS = ("Bolt", "FuelCap")
SIZE_HW = (40, 60)
BOLT, CAP, NOWHERE = (5.0, 5.0, 15.0, 15.0), (30.0, 10.0, 50.0, 30.0), (0.0, 30.0, 6.0, 36.0)
BUNDLE = {"bundle": {"name": "tiny", "version": "7", "digest": "00"}}

Box = tuple[float, float, float, float]
Objects = dict[str, list[tuple[str, Box]]]


def rle_of(box_xyxy: Box) -> Row:
    mask_hw = np.zeros(SIZE_HW, np.bool_)
    x0, y0, x1, y1 = map(int, box_xyxy)
    mask_hw[y0:y1, x0:x1] = True
    return dict(encode_rle(mask_hw))


def write(path: Path, objects: Objects, labels: tuple[str, ...], **more: float) -> None:
    """Write a COCO file with a mask for each box."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [image_row(number, name, SIZE_HW) for number, name in enumerate(objects, start=1)]
    rows = [
        annotation_row(number, labels.index(label) + 1, box, None, **more) | {"segmentation": rle_of(box)}
        for number, things in enumerate(objects.values(), start=1)
        for label, box in things
    ]
    write_dataset(path, BUNDLE, category_rows(labels), images, rows)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Labels of three images, of which two have true objects; one label is at the wrong place, one object is missed."""
    found: Objects = {
        "day1/a.png": [("Bolt", BOLT), ("Bolt", NOWHERE)],
        "day2/b.png": [("FuelCap", CAP)],
        "day2/unknown.png": [("Bolt", BOLT)],
    }
    truth: Objects = {"a.png": [("Bolt", BOLT)], "b.png": [("fuel cap", CAP), ("Bolt", BOLT)]}
    write(tmp_path / "labelled" / "dataset.json", found, LABELS, score=0.9)
    write(tmp_path / "truth" / "annotations" / "instances_test.json", truth, ("Bolt", "fuel cap"))
    for name in truth:
        path = tmp_path / "truth" / "images" / name
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", SIZE_HW[::-1], "gray").save(path)
    return tmp_path


def test_figures_of_labels_on_disk(folder: Path) -> None:
    report = evaluate_labels(folder / "labelled", folder / "truth", "test")
    assert (report["images"], report["images_without_truth"]) == (2, 1)
    assert (report["objects"], report["labels"]) == (3, 3)
    assert (report["precision"], report["recall"]) == (pytest.approx(2 / 3, abs=1e-4), pytest.approx(2 / 3, abs=1e-4))
    assert report["per_class"]["FuelCap"] == {"precision": 1.0, "recall": 1.0, "ap50": 1.0, "mask_ap50": 1.0}
    assert (report["per_class"]["Bolt"]["precision"], report["per_class"]["Bolt"]["recall"]) == (0.5, 0.5)


def test_the_command_names_the_worst_class_first_and_what_it_left_out(folder: Path) -> None:
    command = ["evaluate-labels", str(folder / "labelled"), "--data", str(folder / "truth")]
    ended = CliRunner().invoke(command_line.app, [*command, "--json", str(folder / "report.json")])
    assert ended.exit_code == 0, ended.output
    assert "2 images, 3 objects, 3 labels" in ended.output
    assert ended.output.index("Bolt") < ended.output.index("FuelCap")
    assert "Labelled images that truth/test does not have, not measured: 1." in ended.output
    assert json.loads((folder / "report.json").read_text())["ap50"] == pytest.approx(0.75)


def test_images_in_common_are_needed(folder: Path) -> None:
    write(folder / "other" / "dataset.json", {"x.png": [("Bolt", BOLT)]}, LABELS)
    with pytest.raises(UserError, match="have no image with true objects in common"):
        evaluate_labels(folder / "other", folder / "truth", "test")
