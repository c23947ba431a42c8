from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from weaksam.cli.data import data_app


def _run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(data_app, [str(argument) for argument in arguments])
    return result.exit_code, result.output


def test_scenes_in_folders_by_kind_become_mosaics_that_check_well(tmp_path: Path) -> None:
    for kind in ("bolt", "nut", "pen", "wire"):
        assert _run("scenes", "--out", tmp_path / "source" / kind, "--count", 2, "--size", "96x128")[0] == 0
        for written in (tmp_path / "source" / kind).glob("Segm*/*.png"):
            written.unlink()

    arguments = ("--source", tmp_path / "source", "--split", "train", "--out", tmp_path / "out", "--count", 2)
    assert _run("mosaics", *arguments)[0] == 0
    status, output = _run("check", tmp_path / "out", "--split", "train")

    assert status == 0
    assert "2 images, 4 labels" in output


def test_check_lists_problems_and_fails(tmp_path: Path) -> None:
    _run("scenes", "--out", tmp_path / "s", "--count", 3, "--size", "96x128")
    (tmp_path / "s" / "JPEGImages" / "000001.jpg").write_bytes(b"")

    status, output = _run("check", tmp_path / "s")

    assert status == 1
    assert "000001.jpg" in output


def test_check_finds_an_image_cut_short_behind_its_header(tmp_path: Path) -> None:
    _run("scenes", "--out", tmp_path / "s", "--count", 3, "--size", "96x128")
    path = tmp_path / "s" / "JPEGImages" / "000001.jpg"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])  # a few missing rows would be accepted

    status, output = _run("check", tmp_path / "s")

    assert status == 1
    assert "000001.jpg" in output
    assert "training would" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("check", "nowhere"), "is not a folder", id="check-nowhere"),
        pytest.param(("scenes", "--out", "x", "--size", "big"), "HEIGHTxWIDTH", id="size-words"),
        pytest.param(("scenes", "--out", "x", "--size", "8x8"), "at least 64x64", id="size-tiny"),
        pytest.param(("scenes", "--out", "x", "--size", "64x100000000"), "at most 100000000 pixels", id="size-huge"),
        pytest.param(("mosaics", "--source", "nowhere", "--out", "x"), "is not a folder", id="mosaics-nowhere"),
    ],
)
def test_mistakes_are_value_errors_that_the_console_command_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)

    result = CliRunner().invoke(data_app, list(arguments))

    assert isinstance(result.exception, ValueError)
    assert message in str(result.exception)


@pytest.mark.parametrize("command", ["scenes", "mosaics"])
def test_a_seed_is_not_negative(command: str) -> None:
    more = ["--source", "s"] if command == "mosaics" else []
    result = CliRunner(env={"COLUMNS": "120"}).invoke(data_app, [command, *more, "--out", "x", "--seed", "-5"])
    assert result.exit_code == 2
    assert "--seed" in result.output


def test_brackets_in_an_image_s_name_are_printed_as_they_are(tmp_path: Path) -> None:
    _run("scenes", "--out", tmp_path / "s", "--count", 3, "--size", "96x128")
    (tmp_path / "s" / "JPEGImages" / "[red]4.jpg").write_bytes(b"")
    (tmp_path / "s" / "Annotations").rename(tmp_path / "not-voc")
    (tmp_path / "s" / "annotations").rename(tmp_path / "not-coco")

    status, output = _run("check", tmp_path / "s")

    assert status == 1
    assert "[red]4.jpg" in output


def write_images(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (80, 60), "grey").save(root / name)


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _roboflow(root: Path) -> None:
    write_images(root, "train/a.jpg", "train/b.jpg", "valid/c.jpg")
    categories = [{"id": 0, "name": "all", "supercategory": "none"}, {"id": 1, "name": "bolt", "supercategory": "all"}]
    for split, names in {"train": ("a", "b"), "valid": ("c",)}.items():
        images = [{"id": n, "file_name": f"{name}.jpg", "width": 80, "height": 60} for n, name in enumerate(names)]
        boxes = [{"id": n, "image_id": n, "category_id": 1, "bbox": [1, 1, 9, 9]} for n in range(len(names))]
        document = {"images": images, "annotations": boxes, "categories": categories}
        write_text(root / split / "_annotations.coco.json", json.dumps(document))


def _yolo(root: Path) -> None:
    write_images(root, "images/train/a.jpg", "images/train/b.jpg", "images/val/c.jpg")
    for name in ("train/a", "train/b", "val/c"):
        write_text(root / "labels" / f"{name}.txt", "0 0.5 0.5 0.2 0.2\n")
    write_text(root / "data.yaml", "train: images/train\nval: images/val\nnames: [bolt]\n")


def _label_studio(root: Path) -> None:
    write_images(root, "a.jpg", "b.jpg")
    result = {"type": "choices", "value": {"choices": ["bolt"]}}
    box = {"type": "rectanglelabels", "value": {"x": 1, "y": 1, "width": 9, "height": 9, "rectanglelabels": ["bolt"]}}
    tasks = [
        {"data": {"image": f"/data/upload/1/0a1b2c3d-{name}.jpg"}, "annotations": [{"result": [result, box]}]}
        for name in ("a", "b")
    ]
    write_text(root / "project.json", json.dumps(tasks))


def _cvat(root: Path) -> None:
    write_images(root, "images/a.jpg", "images/b.jpg")
    shapes = '<tag label="bolt"/><box label="bolt" xtl="1" ytl="1" xbr="9" ybr="9"/>'
    images = "".join(f'<image name="{name}.jpg" width="80" height="60">{shapes}</image>' for name in ("a", "b"))
    write_text(root / "annotations.xml", f"<annotations>{images}</annotations>")


@pytest.mark.parametrize("write", [_roboflow, _yolo, _label_studio, _cvat], ids=lambda write: write.__name__)
def test_check_prints_the_classes_and_counts_of_what_tools_export(
    tmp_path: Path, write: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    write(tmp_path)

    status, output = _run("check", tmp_path)

    assert status == 0
    assert "2 images, 1 labels, 2 objects, 0 images of none of the classes" in output
    assert re.search(r"bolt\W+2\W+2\W", output)
    assert "Warning: bolt is on every image" in output
    assert "Warning: fewer than 20 images: bolt (2)" in output


def test_check_tells_of_boxes_that_are_no_tags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    write_images(tmp_path, "wrench/a.jpg", "bolt/b.jpg", "c.jpg", "bolt/d.heic.jpg")
    (tmp_path / "bolt" / "d.heic").write_bytes(b"x")
    for name in ("wrench/a", "bolt/b", "c"):
        write_text(tmp_path / f"{name}.txt", "0 0.38 0.36 0.40 0.41\n")

    status, output = _run("check", tmp_path)

    assert status == 1
    assert "3 images, 2 labels" in output
    assert "Note: 3 files, such as bolt/b.txt, hold boxes in YOLO format, not tags" in output
    assert re.search(r"c\.jpg.*c\.txt holds boxes in YOLO format, not tags", output)
    assert re.search(r"bolt/d\.heic .*HEIC is not supported: convert it", output)
