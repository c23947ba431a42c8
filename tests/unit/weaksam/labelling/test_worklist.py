"""Images and their tags out of a CSV, sidecar files or folder names; what does not fit together is reported."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from weaksam.files.image_source import open_images
from weaksam.labelling.report import write_failures
from weaksam.labelling.shard import Shard, shard_worklist
from weaksam.labelling.worklist import Failure, worklist_from_names, worklist_from_table


def make_files(folder: Path, *paths: str) -> Path:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"x")
    return folder


def make_csv(folder: Path, text: str) -> Path:
    path = folder / "tags.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_name_that_is_not_text_is_a_failure_of_that_image(tmp_path: Path) -> None:
    folder = make_files(tmp_path / "in", "grün.jpg", os.fsdecode(b"gr\xfcn.jpg"))
    worklist = worklist_from_table(folder, make_csv(tmp_path, "file,tags\ngrün.jpg,bolt\n"))
    assert worklist.images == ("grün.jpg",)
    assert worklist.failures == (Failure(r"gr\udcfcn.jpg", "name_not_utf8", "its name is not UTF-8: rename it"),)
    write_failures(worklist.failures, tmp_path / "failures.csv")
    assert shard_worklist(worklist, Shard(0, 1)) == worklist


def test_csv_rows_of_one_image_are_joined(tmp_path: Path) -> None:
    folder = make_files(tmp_path / "in", "a/x.jpg", "b/x.jpg")
    table = make_csv(tmp_path, 'file,tags\na/x.jpg,"bolt, nut"\n./b/x.jpg,wrench\na/x.jpg,pin;bolt\n')
    worklist = worklist_from_table(folder, table)
    assert worklist.tags == {"a/x.jpg": ("bolt", "nut", "pin"), "b/x.jpg": ("wrench",)}
    assert worklist.failures == ()


def test_what_the_csv_and_the_folder_do_not_share_is_reported(tmp_path: Path) -> None:
    folder = make_files(tmp_path / "in", "bare.jpg", "empty.jpg", "tagged.jpg")
    table = make_csv(tmp_path, "\ufefftags,file\nbolt,gone.jpg\n,empty.jpg\nbolt,tagged.jpg\n")
    worklist = worklist_from_table(folder, table)
    assert worklist.images == ("bare.jpg", "empty.jpg", "tagged.jpg")
    assert worklist.tags == {"tagged.jpg": ("bolt",)}
    assert worklist.failures == (
        Failure("bare.jpg", "no_tags", f"{table} has no tags for it"),
        Failure("empty.jpg", "no_tags", f"{table} has no tags for it"),
        Failure("gone.jpg", "image_missing", f"{table} names it, {folder} does not hold it"),
    )


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(b"image,tags\n", "lacks the column 'file'", id="other columns"),
        pytest.param(b"", "lacks the column 'file'", id="empty"),
        pytest.param(b"file,tags\nx.jpg,\xff\xfe\n", "cannot be read as a CSV in UTF-8", id="not utf-8"),
        pytest.param(b'file,tags\nx.jpg,"bolt', "cannot be read as a CSV", id="open quote"),
    ],
)
def test_a_broken_csv_is_one_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    folder = make_files(tmp_path / "in", "x.jpg")
    table = tmp_path / "tags.csv"
    table.write_bytes(content)
    with pytest.raises(ValueError, match=sentence):
        worklist_from_table(folder, table)


def test_tags_from_an_export_of_label_studio(tmp_path: Path) -> None:
    folder = make_files(tmp_path / "in", "a/x.jpg", "0123abcd-y.jpg", "z.jpg", "w.jpg")
    chosen = [{"type": "choices", "value": {"choices": ["bolt", "nut"]}}]
    drawn = [{"type": "brushlabels", "value": {"brushlabels": ["nut"]}}]
    tasks = [
        {"data": {"image": "/data/upload/1/89abcdef-x.jpg"}, "annotations": [{"result": chosen + drawn}]},
        {"data": {"image": "/data/upload/1/0123abcd-y.jpg"}, "annotations": [{"result": drawn}]},
        {"data": {"image": "s3://bucket/z.jpg"}, "annotations": [{"result": chosen, "was_cancelled": True}]},
        {"data": {"image": "http://elsewhere/v.jpg"}, "annotations": [{"result": drawn}]},
    ]
    export = tmp_path / "project-1.json"
    export.write_text(json.dumps(tasks))
    worklist = worklist_from_table(folder, export)
    assert worklist.tags == {"a/x.jpg": ("bolt", "nut"), "0123abcd-y.jpg": ("nut",)}
    codes = {failure.image: failure.code for failure in worklist.failures}
    assert codes == {"z.jpg": "no_tags", "w.jpg": "no_tags", "v.jpg": "image_missing"}


def test_tags_from_the_short_export_of_label_studio(tmp_path: Path) -> None:
    folder = make_files(tmp_path / "in", "x.jpg", "y.jpg")
    tasks = [
        {"id": 1, "image": "/data/local-files/?d=in/x.jpg", "tags": {"choices": ["bolt", "nut"]}, "annotator": 1},
        {"id": 2, "image": "/data/upload/1/89abcdef-y.jpg", "tags": "nut"},
    ]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    worklist = worklist_from_table(folder, tmp_path / "export.json")
    assert worklist.tags == {"x.jpg": ("bolt", "nut"), "y.jpg": ("nut",)}


@pytest.mark.parametrize(
    ("content", "said"), [("{", "cannot be read as JSON"), ("[]", "no JSON export"), ('[{"a": 1}]', "no JSON export")]
)
def test_another_json_is_one_sentence(tmp_path: Path, content: str, said: str) -> None:
    folder = make_files(tmp_path / "in", "x.jpg")
    (tmp_path / "export.json").write_text(content)
    with pytest.raises(ValueError, match=said):
        worklist_from_table(folder, tmp_path / "export.json")


def test_tags_from_the_first_folder(tmp_path: Path) -> None:
    folder = make_files(tmp_path, "bolt/day 1/x.jpg", "bolt, nut/x.jpg", "x.jpg")
    worklist = worklist_from_names(folder, "folder")
    assert worklist.tags == {"bolt/day 1/x.jpg": ("bolt",), "bolt, nut/x.jpg": ("bolt", "nut")}
    assert [(failure.image, failure.code) for failure in worklist.failures] == [("x.jpg", "no_tags")]


def test_tags_from_sidecars(tmp_path: Path) -> None:
    folder = make_files(tmp_path, "a/x.jpg", "b/x.jpg", "c.png", "d.png", "e.png", "f.png")
    (folder / "a/x.txt").write_text("bolt\nnut\n", encoding="utf-8")
    (folder / "b/x.txt").write_bytes(b"\xff")
    (folder / "d.json").write_text('["bolt", " nut", ""]', encoding="utf-8")
    (folder / "e.json").write_text('{"tags": ["pin"]}', encoding="utf-8")
    (folder / "f.json").write_text('{"tags": ', encoding="utf-8")
    worklist = worklist_from_names(folder, "sidecar")
    assert worklist.tags == {
        "a/x.jpg": ("bolt", "nut"),
        "d.png": ("bolt", "nut"),
        "e.png": ("pin",),
    }
    assert [(failure.image, failure.code) for failure in worklist.failures] == [
        ("b/x.jpg", "no_tags"),
        ("c.png", "no_tags"),
        ("f.png", "no_tags"),
    ]
    assert "UTF-8" in worklist.failures[0].message


def test_rows_written_on_windows_are_matched_and_told_once(tmp_path: Path) -> None:
    folder = make_files(tmp_path / "in", "day1/a.jpg", "b.JPG", "x/s.jpg", "y/s.jpg", "c.heic")
    table = make_csv(tmp_path, "file,tags\nday1\\a.jpg,bolt\nb.jpg,nut\ns.jpg,pin\nc.heic,pin\n")
    worklist = worklist_from_table(folder, table)
    assert worklist.tags == {"b.JPG": ("nut",), "day1/a.jpg": ("bolt",)}
    assert len(worklist.notes) == 1
    assert "2 names are written in another way" in worklist.notes[0]
    failures = {failure.image: failure for failure in worklist.failures}
    assert (
        failures["s.jpg"].message == f"{table} names it, it may mean x/s.jpg, y/s.jpg: write the path below the folder"
    )
    assert failures["c.heic"].code == "unsupported_format"
    assert len(worklist.failures) == len(failures) == 4


def test_a_sidecar_that_holds_no_tags_says_what_it_is(tmp_path: Path) -> None:
    folder = make_files(tmp_path, "a.jpg", "b.jpg")
    (folder / "a.txt").write_text("0 0.38 0.36 0.40 0.41\n", encoding="utf-8")
    (folder / "b.json").write_text('{"shapes": [{"label": "bolt"}], "flags": {"nut": true}}', encoding="utf-8")
    worklist = worklist_from_names(folder, "sidecar")
    assert worklist.tags == {"b.jpg": ("nut", "bolt")}
    (failure,) = worklist.failures
    assert failure.message.startswith("a.txt: holds boxes in YOLO format, not tags")


def test_a_list_is_a_choice_of_the_images_of_a_csv(tmp_path: Path) -> None:
    folder = make_files(tmp_path, "a.jpg", "b.jpg", "c.jpg", "x/s.jpg", "y/s.jpg")
    (folder / "list.txt").write_text("a.jpg\nb.jpg\nx/s.jpg\ny/s.jpg\n")
    table = make_csv(tmp_path, "file,tags\na.jpg,bolt\nbb.jpg,nut\nc.jpg,nut\ns.jpg,pin\n")
    source = open_images(str(folder / "list.txt"))
    worklist = worklist_from_table(source.folder, table, source.files)
    assert worklist.tags == {"a.jpg": ("bolt",)}
    codes = [(failure.image, failure.code) for failure in worklist.failures]
    untagged = [(image, "no_tags") for image in ("b.jpg", "x/s.jpg", "y/s.jpg")]
    assert codes == [*untagged, ("s.jpg", "image_missing")], "b.jpg was misspelt, s.jpg may mean two"
    assert worklist.notes == (f"{table}: names that are not in the list are left out: 2, such as 'bb.jpg'",)
