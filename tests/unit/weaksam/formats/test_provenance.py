"""Each format says which bundle and settings labelled an image, and which image that was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from weaksam.formats.coco import annotation_row, category_rows, image_row, write_dataset
from weaksam.formats.convert import FormatName, convert

BUNDLE = {"name": "tiny", "version": "7", "digest": "d" * 64}
OPTIONS = {"min_score": 0.3, "unknown_tags": "skip"}
SHA256 = "5" * 64
KNOWN = {"bundle": BUNDLE, "options": OPTIONS, "image_sha256": SHA256, "tags": ["wrench"]}


def of_coco(out: Path) -> dict[str, Any]:
    document = json.loads((out / "dataset.json").read_text())
    [image] = document["images"]
    return {**document["info"], "image_sha256": image["sha256"], "tags": image["tags"]}


def of_sidecar(out: Path) -> dict[str, Any]:
    document = json.loads((out / "provenance.json").read_text())
    image = document.pop("images")["a.jpg"]
    return {**document, **image}


def of_member(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "a.json").read_text())["weaksam"])


def of_label_studio(out: Path) -> dict[str, Any]:
    [task] = json.loads((out / "tasks.json").read_text())
    assert task["predictions"][0]["model_version"] == "weaksam tiny 7 dddddddddddd"
    return dict(task["meta"]["weaksam"])


def of_cvat(out: Path) -> dict[str, Any]:
    root = ET.parse(out / "annotations.xml").getroot()
    image = root.find("image")
    assert image is not None
    run = json.loads(root.findtext("meta/weaksam", ""))
    return {**run, "image_sha256": image.get("sha256"), "tags": ["wrench"]}


def of_voc(out: Path) -> dict[str, Any]:
    source = ET.parse(out / "Annotations" / "a.xml").getroot().find("source")
    assert source is not None
    assert source.findtext("database") == "weaksam"
    return {**json.loads(source.findtext("annotation", "")), "image_sha256": source.findtext("image")}


READERS: dict[FormatName, Callable[[Path], dict[str, Any]]] = {
    "coco": of_coco,
    "coco-polygons": of_coco,
    "coco-results": of_sidecar,
    "yolo": of_sidecar,
    "yolo-seg": of_sidecar,
    "png": of_sidecar,
    "labelme": of_member,
    "roboflow": of_member,
    "labelstudio": of_label_studio,
    "cvat": of_cvat,
    "voc": of_voc,
}


def run_of(folder: Path, info: dict[str, Any], **image: Any) -> Path:
    """Write a run of one image with one box."""
    rows = [annotation_row(1, 1, (1.0, 2.0, 11.0, 22.0), score=0.4)]
    write_dataset(
        folder / "dataset.json", info, category_rows(["wrench"]), [image_row(1, "a.jpg", (40, 60), **image)], rows
    )
    return folder


@pytest.mark.parametrize("to", READERS)
def test_where_labels_come_from(tmp_path: Path, to: FormatName) -> None:
    run = run_of(tmp_path, {"bundle": BUNDLE, "options": OPTIONS}, sha256=SHA256, tags=["wrench"])
    convert(run, to, tmp_path / "out")
    assert READERS[to](tmp_path / "out") == KNOWN


@pytest.mark.parametrize("to", READERS)
def test_runs_of_earlier_releases_are_converted_too(tmp_path: Path, to: FormatName) -> None:
    convert(run_of(tmp_path, {}), to, tmp_path / "out")
