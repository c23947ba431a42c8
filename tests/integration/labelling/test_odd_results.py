"""`weaksam label` and a server whose responses have the right members and contradict themselves."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.support.fakes.fake_service import HEIGHT_PX, LABELS, WIDTH_PX, FakeService
from weaksam.client import AsyncClient, ServerFailed
from weaksam.errors import UserError
from weaksam.formats.convert import FormatName, convert
from weaksam.labelling.run import LabelJob, label_folder
from weaksam.labelling.worklist import worklist_from_names
from weaksam.retry import RetryPolicy


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in" / "Bolt").mkdir(parents=True)
    (tmp_path / "in" / "Bolt" / "a.jpg").write_bytes(b"an image")
    return tmp_path / "in"


async def label(folder: Path, url: str) -> list[dict[str, str]]:
    """Label the folder; returns the rows of failures.csv."""
    job = LabelJob(folder, folder.parent / "out", worklist_from_names(folder, "folder"))
    async with AsyncClient(url, retry=RetryPolicy(attempts=1)) as client:
        await label_folder(job, client, workers=1, on_done=lambda _: None)
    with (folder.parent / "out" / "failures.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


NO_MASK: dict[str, Any] = {"size": [HEIGHT_PX, WIDTH_PX], "counts": "zz"}
SMALL_MASK: dict[str, Any] = {"size": [1, 1], "counts": "01"}
OUTLINE: dict[str, Any] = {"size": [HEIGHT_PX, WIDTH_PX], "polygons": [[0, 0, 9, 0, 9, 9]], "fidelity_iou": 1}
FOUND: dict[str, tuple[dict[str, Any], str]] = {
    "a label of its own": ({"label": "Valve"}, "detections[0].label is 'Valve'"),
    "box of no numbers": ({"box_xyxy": [0, 0, "NaN", 1]}, "detections[0].box_xyxy is [0.0, 0.0, nan, 1.0]"),
    "box the wrong way round": ({"box_xyxy": [9, 0, 1, 1]}, "detections[0].box_xyxy is [9.0, 0.0, 1.0, 1.0]"),
    "runs that cannot be read": ({"mask": NO_MASK}, "detections[0].mask: counts is 'zz'"),
    "mask of another size": ({"mask": SMALL_MASK}, "detections[0].mask: size is [1, 1]"),
    "mask as polygons": ({"mask": OUTLINE}, "detections[0].mask is of polygons or PNG"),
}


@pytest.mark.parametrize(("change", "told"), FOUND.values(), ids=list(FOUND))
async def test_an_object_that_cannot_be_fails_its_image_alone(
    folder: Path, url: str, fake: FakeService, change: dict[str, Any], told: str
) -> None:
    fake.detection = change
    [failure] = await label(folder, url)
    assert (failure["image"], failure["code"]) == ("Bolt/a.jpg", "not_the_service")
    assert told in failure["message"]


async def test_an_odd_result_of_an_earlier_release_is_told(folder: Path, url: str) -> None:
    await label(folder, url)
    journal = folder.parent / "out" / "journal.jsonl"
    header, line = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(header + line.replace(b'"label":"Bolt"', b'"label":"Valve"'))
    with pytest.raises(UserError, match=r"Bolt/a.jpg has an object of no label, .* 'Valve': remove its line"):
        await label(folder, url)


async def test_an_image_without_pixels_fails_alone(folder: Path, url: str, fake: FakeService) -> None:
    fake.image = {"width": 0}
    [failure] = await label(folder, url)
    assert "image.width is 0" in failure["message"]


LABELS_TOLD: dict[str, tuple[tuple[str, ...], str]] = {
    "twice": (("Bolt", "Bolt"), "'Bolt' and 'Bolt' are spelled alike"),
    "twice, in another spelling": (("Bolt", "bolt"), "'Bolt' and 'bolt' are spelled alike"),
    "empty": (("Bolt", " "), "' ' is no name"),
}


@pytest.mark.parametrize(("labels", "told"), LABELS_TOLD.values(), ids=list(LABELS_TOLD))
async def test_labels_that_cannot_be_told_apart_stop_the_run_at_its_start(
    folder: Path, url: str, fake: FakeService, labels: tuple[str, ...], told: str
) -> None:
    fake.labels = labels
    with pytest.raises(ServerFailed, match=told):
        await label(folder, url)
    assert fake.seen == [], "nothing was sent"


async def test_odd_names_of_labels_reach_every_format(folder: Path, url: str, fake: FakeService) -> None:
    fake.labels = (*LABELS, "=cmd|' /C calc'!A0", "a/b\\c", "x" * 5000, "../up")
    assert await label(folder, url) == []
    for to in get_args(FormatName):
        convert(folder.parent / "out", to, folder.parent / to)
