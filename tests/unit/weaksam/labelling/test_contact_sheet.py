"""The contact sheet: what its first screen says, and that the file stands alone."""

from __future__ import annotations

import html
import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from tests.support.fakes.answers import detect_result
from weaksam.labelling.contact_sheet import SHOWN_DOUBTFUL, ContactSheet
from weaksam.labelling.doubt import review_result
from weaksam.labelling.worklist import Failure
from weaksam.schemas import DetectResult


def lost(content: bytes, label: str) -> DetectResult:
    """A result whose one tag was not found."""
    result = detect_result(content, [label])
    row = result.tags[0].model_copy(update={"status": "not_found", "count": 0, "stage": "score"})
    return result.model_copy(update={"detections": (), "tags": (row,)})


def add(sheet: ContactSheet, image: str, result: DetectResult) -> None:
    sheet.add(image, result, review_result(result))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("clear.jpg", "lost.jpg"):
        Image.new("RGB", (40, 30), "gray").save(folder / name)
    return folder


def sheet_of(folder: Path | None, out: Path, failures: list[Failure]) -> str:
    sheet = ContactSheet(folder)
    add(sheet, "clear.jpg", detect_result(b"1", ["Bolt"]))
    add(sheet, "lost.jpg", lost(b"2", "Nut"))
    sheet.write(failures, out / "sheet.html")
    return (out / "sheet.html").read_text(encoding="utf-8")


def test_the_first_screen_says_what_was_reached_and_what_to_do(photos: Path, tmp_path: Path) -> None:
    page = sheet_of(photos, tmp_path, [Failure("x.heic", "unsupported_format", "It is HEIC.")])
    sentences = re.findall("<li>(.*?)</li>", page)
    assert sentences == [
        "2 images of 3 labelled, with 1 object.",
        "1 of 2 tags were found: 50%.",
        "1 image should be checked by a person: a doubt of 0.5 or more.",
        f"Check the doubtful images, worst first: <code>weaksam review {tmp_path} --photos {photos}</code>",
        "Nut was not found in the 1 image tagged with it. To teach it, add images: 20 or more.",
        "1 image failed with unsupported_format: failures.csv says why.",
        (
            f"Write the labels for your trainer, here YOLO: <code>weaksam convert {tmp_path} --to yolo-seg --out yolo"
            f"</code>. After a review, add <code>--reviewed {tmp_path.parent}/reviewed</code>."
        ),
    ]
    assert page.index("lost.jpg") < page.index("clear.jpg") < page.index("<table>")


def test_the_file_stands_alone(photos: Path, tmp_path: Path) -> None:
    page = sheet_of(photos, tmp_path, [])
    assert page.count("data:image/jpeg;base64,") == 2
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert "<script" not in page


def test_images_that_cannot_be_drawn_are_named(tmp_path: Path) -> None:
    assert "lost.jpg: Nut: not found" in sheet_of(tmp_path / "gone", tmp_path, [])
    assert "--photos PHOTOS" in sheet_of(None, tmp_path, [])


def test_the_command_of_the_review_can_be_pasted(tmp_path: Path) -> None:
    sheet = ContactSheet(tmp_path / "my photos", "http://gateway:8123")
    add(sheet, "lost.jpg", lost(b"2", "Nut"))
    sheet.write([], tmp_path / "sheet.html")
    command = re.findall("weaksam review.*?(?=</code>)", (tmp_path / "sheet.html").read_text(encoding="utf-8"))
    assert [shlex.split(html.unescape(text)) for text in command] == [
        ["weaksam", "review", str(tmp_path), "--photos", f"{tmp_path}/my photos", "--server", "http://gateway:8123"]
    ]


def test_a_run_without_doubts_says_so(tmp_path: Path) -> None:
    sheet = ContactSheet(None)
    add(sheet, "a.jpg", detect_result(b"1", ["Bolt"]))
    sheet.write([], tmp_path / "sheet.html")
    assert "Every tag was found clearly." in (tmp_path / "sheet.html").read_text(encoding="utf-8")


def test_only_the_most_doubtful_are_kept(tmp_path: Path) -> None:
    sheet = ContactSheet(None)
    for number in range(SHOWN_DOUBTFUL + 5):
        add(sheet, f"{number:02}.jpg", lost(str(number).encode(), "Nut"))
    sheet.write([], tmp_path / "sheet.html")
    page = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert len(re.findall(r"\d\d\.jpg: ", page)) == SHOWN_DOUBTFUL
    assert "53 images should be checked" in page


def test_names_are_escaped(tmp_path: Path) -> None:
    sheet = ContactSheet(None)
    add(sheet, "<b>&.jpg", lost(b"1", "Nut"))
    sheet.write([], tmp_path / "sheet.html")
    assert "&lt;b&gt;&amp;.jpg" in (tmp_path / "sheet.html").read_text(encoding="utf-8")
