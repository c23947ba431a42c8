"""The reviewed data set goes into other tools: alone, or with what nobody looked at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.support.servers.review_server import write_labelled
from training.data.open_dataset import open_dataset
from weaksam.cli import main as command_line
from weaksam.errors import UserError
from weaksam.formats.convert import FormatName, convert
from weaksam.review.app import Review
from weaksam.review.journal import ReviewJournal
from weaksam.review.labelled_run import open_labelled_run
from weaksam.review.schemas import Decision, ReviewObject

ACCEPTED, CORRECTED, OPEN, REJECTED = "a/clear.png", "b/two.png", "c/wrench.png", "d/two.png"
DRAWN = ReviewObject(label="Valve", box_xyxy=(1.0, 2.0, 11.0, 22.0))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Labels of four images: one accepted, one corrected to a class of its own, one open, one rejected."""
    write_labelled(tmp_path)
    run, out = open_labelled_run(tmp_path / "labelled", tmp_path / "photos"), tmp_path / "reviewed"
    out.mkdir()
    review = Review(run, ReviewJournal(out / "review.sqlite", run.sha256), out)
    review.decide(1, Decision(reviewer="ann", version=0, state="accepted"))
    review.decide(2, Decision(reviewer="ann", version=0, state="corrected", objects=(DRAWN,)))
    review.decide(4, Decision(reviewer="ann", version=0, state="rejected"))
    review.write()
    review.journal.close()
    return tmp_path


def objects_of(out: Path) -> dict[str, list[tuple[str, Any]]]:
    """Labels of each image in a COCO file, with their scores."""
    dataset = json.loads((out / "dataset.json").read_text(encoding="utf-8"))
    names = {row["id"]: row["name"] for row in dataset["categories"]}
    return {
        image["file_name"]: [
            (names[row["category_id"]], row.get("score"))
            for row in dataset["annotations"]
            if row["image_id"] == image["id"]
        ]
        for image in dataset["images"]
    }


def test_a_review_alone_is_its_confirmed_images(folder: Path) -> None:
    convert(folder / "reviewed", "coco", folder / "out")
    assert objects_of(folder / "out") == {ACCEPTED: [("Bolt", None)], CORRECTED: [("Valve", None)]}


def test_a_run_with_its_review_has_the_open_images_as_they_were_found(folder: Path) -> None:
    convert(folder / "labelled", "coco", folder / "found")
    convert(folder / "labelled", "coco", folder / "out", reviewed=folder / "reviewed")
    found, out = objects_of(folder / "found"), objects_of(folder / "out")
    assert out == {ACCEPTED: [("Bolt", None)], CORRECTED: [("Valve", None)], OPEN: found[OPEN]}
    assert found.keys() - out.keys() == {REJECTED}


@pytest.mark.parametrize("to", ["yolo-seg", "voc", "cvat", "labelstudio", "roboflow", "labelme", "png"])
def test_the_command_writes_corrections_in_every_format(folder: Path, to: FormatName) -> None:
    command = ["convert", str(folder / "labelled"), "--reviewed", str(folder / "reviewed"), "--to", to]
    ended = CliRunner().invoke(command_line.app, [*command, "--out", str(folder / "out")])
    assert ended.exit_code == 0, ended.output
    written = (path.read_bytes() for path in (folder / "out").rglob("*") if path.is_file())
    assert any(b"Valve" in content for content in written)
    digests = json.loads((folder / "labelled" / "dataset.json").read_text(encoding="utf-8"))["images"]
    reviewed = json.loads((folder / "reviewed" / "annotations" / "instances_train.json").read_text(encoding="utf-8"))
    assert [row["sha256"] for row in reviewed["images"]] == [row["sha256"] for row in digests]


def test_another_spelling_of_a_label_is_that_label(tmp_path: Path) -> None:
    write_labelled(tmp_path)
    run, out = open_labelled_run(tmp_path / "labelled", tmp_path / "photos"), tmp_path / "reviewed"
    out.mkdir()
    review = Review(run, ReviewJournal(out / "review.sqlite", run.sha256), out)
    objects = tuple(DRAWN.model_copy(update={"label": label}) for label in ("bolt", "Valve", "val-ve"))
    review.decide(1, Decision(reviewer="ann", version=0, state="corrected", objects=objects))
    review.write()
    review.journal.close()
    dataset = open_dataset(out, "train")
    assert dataset.labels == ("Bolt", "Wrench", "Nut", "Valve")
    assert [thing.label for thing in dataset.images[0].objects] == ["Bolt", "Valve", "Valve"]


def test_a_review_of_another_run_is_refused(folder: Path) -> None:
    other = folder / "other"
    other.mkdir()
    write_labelled(other, {"x.png": ["Bolt"]})
    with pytest.raises(UserError, match="is a review of another run: name the folder that was reviewed"):
        convert(other / "labelled", "coco", folder / "out", reviewed=folder / "reviewed")
    with pytest.raises(UserError, match=r"does not exist: name a folder that `weaksam review` wrote"):
        convert(folder / "labelled", "coco", folder / "out", reviewed=folder / "photos")
