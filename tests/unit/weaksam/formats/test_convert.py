"""`weaksam convert`: the command, what it says about losses, and runs that do not fit."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from training.data.open_dataset import open_dataset
from weaksam.cli import main as command_line
from weaksam.errors import UserError
from weaksam.formats.coco import Row, annotation_row, category_rows, image_row, write_dataset
from weaksam.formats.convert import FormatName, convert
from weaksam.formats.run_lengths import encode_rle

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


def test_yolo_lists_its_images_so_that_others_in_the_folder_are_not_empty_ones(tmp_path: Path) -> None:
    run = labelled_run(tmp_path / "labelled", ("a.jpg", "empty.jpg"))
    convert(run, "yolo", tmp_path / "yolo")
    (tmp_path / "yolo/images").mkdir()
    for name in ("a.jpg", "empty.jpg", "rejected.jpg"):
        Image.new("RGB", (60, 40)).save(tmp_path / "yolo/images" / name)
    assert (tmp_path / "yolo/train.txt").read_text() == "./images/a.jpg\n"
    read = [image for split in ("train", "val") for image in open_dataset(tmp_path / "yolo", split).images]
    assert [(image.path.name, bool(image.tags)) for image in read] == [("a.jpg", True), ("empty.jpg", False)]


def test_yolo_finds_the_labels_of_images_in_a_folder_of_that_name(tmp_path: Path) -> None:
    files = ("images/a.jpg", "day 1/images/b.jpg", "labels/c.jpg")
    convert(labelled_run(tmp_path / "labelled", files), "yolo", tmp_path / "yolo")
    for name in files:
        (tmp_path / "yolo/images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (60, 40)).save(tmp_path / "yolo/images" / name)
    read = [image for split in ("train", "val") for image in open_dataset(tmp_path / "yolo", split).images]
    assert {image.id: len(image.objects) for image in read} == {
        "images/images/a": 2,
        "images/day 1/images/b": 0,
        "images/labels/c": 0,
    }
    # Ultralytics' own rule, `img2label_paths` in ultralytics/data/utils.py.
    looked_for = {"/labels/".join(f"/images/{name}".rsplit("/images/", 1)).rsplit(".", 1)[0] + ".txt" for name in files}
    written = {path.relative_to(tmp_path / "yolo").as_posix() for path in (tmp_path / "yolo").rglob("?.txt")}
    assert {f"/{path}" for path in written} == looked_for


def test_the_last_frames_of_each_tag_validate(tmp_path: Path) -> None:
    run = labelled_run(tmp_path / "run", [f"day 1/{number:02d}.jpg" for number in range(32)])
    document = json.loads((run / "dataset.json").read_text())
    for number, image in enumerate(document["images"]):
        image["tags"] = ["wrench" if number < 20 else "nut"]
    (run / "dataset.json").write_text(json.dumps(document))
    held_out = ["day 1/18", "day 1/19", "day 1/31"]

    convert(run, "yolo", tmp_path / "yolo")
    convert(run, "voc", tmp_path / "voc")

    config = yaml.safe_load((tmp_path / "yolo/data.yaml").read_text())
    train, val = ((tmp_path / "yolo" / config[split]).read_text().splitlines() for split in ("train", "val"))
    assert val == [f"./images/{image_id}.jpg" for image_id in held_out]
    assert len(set(train) - set(val)) == 29
    lists = {path.name: path.read_text().splitlines() for path in (tmp_path / "voc/ImageSets/Main").iterdir()}
    assert lists["val.txt"] == held_out
    assert sorted(lists["train.txt"] + lists["val.txt"]) == lists["trainval.txt"]
    masked = {path.name: path.read_text() for path in (tmp_path / "voc/ImageSets/Segmentation").iterdir()}
    assert masked == {"train.txt": "day 1/00\n", "val.txt": "", "trainval.txt": "day 1/00\n"}


def test_a_single_image_is_learnt_from_and_validates(tmp_path: Path) -> None:
    convert(labelled_run(tmp_path / "run"), "yolo", tmp_path / "yolo")
    assert [(tmp_path / f"yolo/{split}.txt").read_text() for split in ("train", "val")] == ["./images/a.jpg\n"] * 2


@pytest.mark.parametrize(
    ("files", "labels", "to", "message"),
    [
        pytest.param(("a.jpg", "a.png"), ("x",), "yolo", r"a\.jpg and a\.png would both become a\.txt", id="same stem"),
        pytest.param(
            ("conversion.jpg",), ["x"], "labelme", "which describes the conversion: rename", id="its own name"
        ),
        pytest.param(("a.jpg",), [str(n) for n in range(255)], "voc", "255 labels do not fit", id="labels of VOC"),
        pytest.param(("a\x01.jpg",), ["x"], "voc", r"'a\\x01\.jpg' has a control character", id="VOC and XML"),
        pytest.param(("a\x0b.jpg",), ["x"], "cvat", r"'a\\x0b\.jpg' has a control character", id="CVAT and XML"),
        pytest.param(("a\nb.jpg",), ["x"], "yolo", r"'a\\nb\.jpg' has a line end, which a list", id="lists of YOLO"),
        pytest.param(("a\rb.jpg",), ["x"], "voc", r"'a\\rb\.jpg' has a line end, which a list", id="lists of VOC"),
        pytest.param(("a.jpg",), ["x\x1f"], "labelstudio", r"'x\\x1f' has a control", id="a label in XML"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, files: Sequence[str], labels: Sequence[str], to: FormatName, message: str
) -> None:
    run = labelled_run(tmp_path / "labelled", files, labels)
    with pytest.raises(UserError, match=message):
        convert(run, to, tmp_path / "out")
    assert not any((tmp_path / "out").iterdir()), "the same command works once the remedy is taken"


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dataset\.json does not exist: name a folder that `weaksam label` wrote"):
        convert(tmp_path, "coco", tmp_path / "out")
    run = labelled_run(tmp_path / "labelled")
    with pytest.raises(UserError, match="is not empty: name a new folder"):
        convert(run, "coco", run)
    (run / "dataset.json").write_text('{"categories": []}')
    with pytest.raises(UserError, match="is no data set that `weaksam label` wrote"):
        convert(run, "coco", tmp_path / "out")


Change = Callable[[dict[str, Any]], None]


def renamed(name: str) -> Change:
    return lambda document: document["images"][0].update(file_name=name)


def another_image(**members: Any) -> Change:
    return lambda document: document["images"].append(document["images"][0] | members)


def disc(**members: Any) -> Change:
    return lambda document: document["annotations"][0].update(members)


def doubt(share: float) -> Change:
    return lambda document: document["images"][0].update(review=share)


def bundle(**members: Any) -> Change:
    return lambda document: document["info"]["bundle"].update(members)


def counts(text: str) -> Change:
    return lambda document: document["annotations"][0]["segmentation"].update(counts=text)


def huge(document: dict[str, Any]) -> None:
    document["images"][0].update(width=10**6, height=10**6)
    document["annotations"][0]["segmentation"]["size"] = [10**6, 10**6]


BROKEN_RUNS: dict[str, tuple[Change, str]] = {
    "a whole path": (renamed("/tmp/x.jpg"), r"images\[0\]\.file_name is '/tmp/x\.jpg': leads out of the folder"),
    "a path that climbs": (renamed("../../x.jpg"), r"file_name is '\.\./\.\./x\.jpg': leads out of .*: write the path"),
    "no name": (renamed("."), r"images\[0\]\.file_name is '\.', which is no path of a file"),
    "a zero byte": (renamed("a\0.jpg"), r"file_name is 'a\\x00\.jpg', which is no path of a file"),
    "a box of two numbers": (disc(bbox=[1, 2]), r"annotations\[0\]\.bbox is \[1, 2\]: must have 4 items, not 2"),
    "a box that is no number": (disc(bbox=[1, 2, "3", 4]), r"annotations\[0\]\.bbox\[2\] is '3': must be a number"),
    "a score that is none": (disc(score=1.5), r"annotations\[0\]\.score is 1\.5: must be at most 1"),
    "a doubt that is none": (doubt(-1), r"images\[0\]\.review is -1: must be at least 0"),
    "an id that is too large": (another_image(id=2**63), r"images\[1\]\.id is 9223372036854775808: must be less"),
    "a bundle of numbers": (bundle(version=7), r"info\.bundle\.version is 7: must be a text"),
    "no options": (lambda document: document["info"].update(options=[]), r"info\.options is \[\]: must be an object"),
    "no such image": (disc(image_id=7), r"annotations\[0\]\.image_id is 7: it must be the id of an image"),
    "no such category": (disc(category_id=7), r"annotations\[0\]\.category_id is 7: it must be the id of a category"),
    "polygons": (disc(segmentation=[[1, 2, 3, 4, 5, 6]]), r"annotations\[0\]\.segmentation is \[\[.*: must be an"),
    "more pixels than there are": (huge, r"size is \[1000000, 1000000\], a mask has at most"),
    "another size": (disc(segmentation={"size": [4, 6], "counts": "08"}), r"size is \[4, 6\], the image's is"),
    "no ASCII": (counts("é"), r"annotations\[0\]\.segmentation: counts is 'é', which is no compressed run lengths"),
    "signs of no number": (counts("zzzzz~~~"), "counts is 'zzzzz~~~', which is no compressed run lengths"),
    "a number without an end": (counts("PPP"), "counts is 'PPP', which is no"),
    "a number that is too long": (counts("PPPPPPPPPPPPP0"), "which is no compressed run lengths"),
    "a run below zero": (counts("O"), "counts is 'O', which is no compressed run lengths"),
    "nothing": (counts(""), "counts is '', which is no compressed run lengths"),
    "runs beyond the image": (counts("oon0"), r"counts has runs of 31743 pixels, the image has 2400"),
    "a name twice": (another_image(id=9), "images has 2 rows with the file_name 'a.jpg': each"),
    "an id twice": (another_image(file_name="b.jpg"), "images has 2 rows with the id 1: each"),
}  # fmt: skip


def test_a_run_may_say_nothing_of_its_bundle_and_a_later_one_more(tmp_path: Path) -> None:
    for name, told in (("silent", {"bundle": None, "options": None}), ("later", {"more": 1})):
        run = labelled_run(tmp_path / name)
        document = json.loads((run / "dataset.json").read_text())
        document["info"] |= told
        (run / "dataset.json").write_text(json.dumps(document))
        for to in FORMATS:
            convert(run, to, tmp_path / f"{name} {to}")


@pytest.mark.parametrize(("change", "message"), BROKEN_RUNS.values(), ids=BROKEN_RUNS)
def test_a_broken_run_is_refused_with_its_member(tmp_path: Path, change: Change, message: str) -> None:
    run = labelled_run(tmp_path / "labelled")
    document = json.loads((run / "dataset.json").read_text())
    change(document)
    (run / "dataset.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match=message):
        convert(run, "labelme", tmp_path / "out")
    assert not (tmp_path / "out").exists()
