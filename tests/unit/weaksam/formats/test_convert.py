"""`weaksam convert`: the command, what it says about losses, and runs that do not fit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from typer.testing import CliRunner

from models.masks import encode_rle
from weaksam.cli import main as command_line
from weaksam.errors import UserError
from weaksam.formats.coco import Row, annotation_row, category_rows, image_row, write_dataset
from weaksam.formats.convert import FormatName, convert

DISC_HW = np.add.outer((np.arange(40) - 20) ** 2, (np.arange(60) - 30) ** 2) <= 15**2
FORMATS: tuple[FormatName, ...] = get_args(FormatName)


def labelled_run(folder: Path, files: Sequence[str] = ("a.jpg",), labels: Sequence[str] = ("wrench",)) -> Path:
    """Write a run with two objects in its first image: a disc, and a box without a mask."""
    info = {"bundle": {"name": "tiny", "version": "7", "digest": "00"}}
    box: tuple[float, float, float, float] = (1.0, 2.0, 11.0, 22.0)
    disc = annotation_row(1, 1, (15.0, 5.0, 46.0, 36.0), encode_rle(DISC_HW), score=0.9)
    rows: list[Row] = [disc, annotation_row(1, 1, box, score=0.4)]
    images = [image_row(number, file, (40, 60)) for number, file in enumerate(files, start=1)]
    folder.mkdir()
    write_dataset(folder / "dataset.json", info, category_rows(labels), images, rows)
    return folder


@pytest.mark.parametrize("to", FORMATS)
def test_the_command_writes_every_format(tmp_path: Path, to: str) -> None:
    run = labelled_run(tmp_path / "labelled")
    command = ["convert", str(run), "--to", to, "--out", str(tmp_path / "out"), "--min-fidelity", "0.9"]

    ended = CliRunner().invoke(command_line.app, command)

    assert ended.exit_code == 0, ended.output
    assert ended.output.replace("\n", "").startswith(f"2 objects of 1 images in {tmp_path / 'out'}")
    summary = json.loads((tmp_path / "out" / "conversion.json").read_text())
    assert (summary["format"], summary["info"]["bundle"]["name"]) == (to, "tiny")
    assert 0.9 <= summary.get("fidelity_iou", {"lowest": 1.0})["lowest"] <= 1.0


def test_fewer_corners_for_less_fidelity(tmp_path: Path) -> None:
    run = labelled_run(tmp_path / "labelled")

    def corners(min_fidelity: float) -> int:
        out = tmp_path / str(min_fidelity)
        convert(run, "coco-polygons", out, min_fidelity)
        return len(json.loads((out / "dataset.json").read_text())["annotations"][0]["segmentation"][0]) // 2

    assert corners(1.0) > corners(0.98) > corners(0.9) >= 3


def test_objects_without_a_mask_keep_their_box(tmp_path: Path) -> None:
    run = labelled_run(tmp_path / "labelled")
    for to in ("yolo-seg", "labelme", "cvat", "labelstudio"):
        convert(run, to, tmp_path / to, 0.98, "/data/local-files/?d=photos/")

    outline = (tmp_path / "yolo-seg/labels/a.txt").read_text().splitlines()[1].split()
    assert np.allclose(
        np.reshape(outline[1:], (-1, 2)).astype(float) * (60, 40), [(1, 2), (11, 2), (11, 22), (1, 22)], atol=1e-3
    )
    shape = json.loads((tmp_path / "labelme/a.json").read_text())["shapes"][-1]
    assert (shape["shape_type"], shape["points"]) == ("rectangle", [[1.0, 2.0], [11.0, 22.0]])
    assert 'xtl="1.00" ytl="2.00" xbr="11.00" ybr="22.00"' in (tmp_path / "cvat/annotations.xml").read_text()
    [task] = json.loads((tmp_path / "labelstudio/tasks.json").read_text())
    assert task["data"]["image"] == "/data/local-files/?d=photos/a.jpg"
    value = task["predictions"][0]["result"][1]["value"]
    pixels = [value[name] * side / 100 for name, side in (("x", 60), ("width", 60), ("height", 40))]
    assert np.allclose(pixels, [1, 10, 20])


def test_images_without_objects_have_files_too(tmp_path: Path) -> None:
    run = labelled_run(tmp_path / "labelled", ("a.jpg", "empty.jpg"))
    convert(run, "yolo", tmp_path / "yolo")
    convert(run, "voc", tmp_path / "voc")
    assert (tmp_path / "yolo/labels/empty.txt").read_text() == ""
    assert (tmp_path / "voc/Annotations/empty.xml").exists()


@pytest.mark.parametrize(
    ("files", "labels", "to", "message"),
    [
        pytest.param(("a.jpg", "a.png"), ("x",), "yolo", r"a\.jpg and a\.png would both become a\.txt", id="same stem"),
        pytest.param(("a.jpg",), [str(n) for n in range(255)], "voc", "255 labels do not fit", id="labels of VOC"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, files: Sequence[str], labels: Sequence[str], to: FormatName, message: str
) -> None:
    run = labelled_run(tmp_path / "labelled", files, labels)
    with pytest.raises(UserError, match=message):
        convert(run, to, tmp_path / "out")


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dataset\.json does not exist: name a folder that `weaksam label` wrote"):
        convert(tmp_path, "coco", tmp_path / "out")
    run = labelled_run(tmp_path / "labelled")
    with pytest.raises(UserError, match="is not empty: name a new folder"):
        convert(run, "coco", run)
    (run / "dataset.json").write_text('{"categories": []}')
    with pytest.raises(UserError, match="is no data set that `weaksam label` wrote"):
        convert(run, "coco", tmp_path / "out")
