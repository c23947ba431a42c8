"""`weaksam evaluate-losses` as a process, on the tiny bundle: which stage lost which object or tag."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from models.bundle import Bundle
from tests.support.bundles.service_parts import DIM_RED, TWO_BOLTS_AND_A_NUT
from tests.support.bundles.tiny_bundle import picture, write_tiny_bundle
from training.evaluation.loss_sentences import NO_BOXES
from weaksam.formats.coco import annotation_row, category_rows, image_row, write_dataset

LABELS = ("red-bolt", "green-nut")
IMAGES = {
    # the detector draws one box around both bolts
    "a.png": (TWO_BOLTS_AND_A_NUT, [(1, (8, 8, 24, 24)), (1, (40, 40, 56, 52)), (2, (40, 8, 52, 20))]),
    # so faint that the mask decoder does not draw it
    "b.png": (picture(((8, 8, 24, 24), DIM_RED)), [(1, (8, 8, 24, 24))]),
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_tiny_bundle(tmp_path_factory.mktemp("with_detector"), detector=True)


def write_images(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, (image_hwc_u8, _) in IMAGES.items():
        Image.fromarray(image_hwc_u8).save(folder / name)
    return folder


def run(*arguments: str | Path) -> str:
    command = [sys.executable, "-m", "weaksam", "evaluate-losses", *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_every_object_is_counted_where_it_was_lost(tmp_path: Path, bundle: Bundle) -> None:
    data, json_out = tmp_path / "data", tmp_path / "out" / "losses.json"
    write_images(data / "images")
    (data / "annotations").mkdir()
    rows = enumerate(IMAGES.items(), 1)
    boxes = [(id_, label, box) for id_, (_, (_, things)) in enumerate(IMAGES.items(), 1) for label, box in things]
    write_dataset(
        data / "annotations" / "instances_test.json",
        {"description": "two images"},
        category_rows(LABELS, [1, 2]),
        (image_row(id_, name, (64, 64)) for id_, (name, _) in rows),
        (annotation_row(id_, label, box) for id_, label, box in boxes),
    )

    shown = run("--bundle", bundle.folder, "--data", data, "--json", json_out)

    report = json.loads(json_out.read_text())
    assert report["per_class"] == {"green-nut": {"found": 1}, "red-bolt": {"no_proposal": 1, "retraining": 2}}
    assert "data test: 2 images, 4 objects" in shown
    assert "25 of 100 objects have no proposal that covers them" in shown


def test_tags_are_counted_where_there_are_no_boxes(tmp_path: Path, bundle: Bundle) -> None:
    data, json_out = write_images(tmp_path / "data"), tmp_path / "losses.json"
    (data / "tags.csv").write_text("file,tags\na.png,red-bolt;green-nut\nb.png,red-bolt\n")

    shown = run("--bundle", bundle.folder, "--data", data, "--split", "train", "--json", json_out)

    counts = {row["stage"]: row["tags"] for row in json.loads(json_out.read_text())["rows"] if row["tags"]}
    assert counts == {"no_proposal": 1, "found": 2}
    assert NO_BOXES in shown
