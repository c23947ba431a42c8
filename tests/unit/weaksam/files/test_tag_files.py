"""The one reader of tag files, which training and labelling share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from weaksam.files.tag_files import TagFileError, TaggedFile, read_sidecar, read_tag_table, sidecar_of


def test_rows_have_the_numbers_a_spreadsheet_shows(tmp_path: Path) -> None:
    (tmp_path / "tags.csv").write_text("\ufefftags,note,file\nbolt;nut,x, ./a/x.jpg\n,,b.jpg\n", encoding="utf-8")
    assert read_tag_table(tmp_path / "tags.csv") == (
        TaggedFile(2, "a/x.jpg", ("bolt", "nut")),
        TaggedFile(3, "b.jpg", ()),
    )


def test_empty_rows_count_as_a_spreadsheet_counts_them(tmp_path: Path) -> None:
    (tmp_path / "tags.csv").write_text("\n;;\nfile;tags\n\na.jpg;bolt\n")
    assert read_tag_table(tmp_path / "tags.csv") == (TaggedFile(5, "a.jpg", ("bolt",)),)


@pytest.mark.parametrize(
    ("content", "field", "sentence"),
    [
        pytest.param(b"file\na.jpg\n", "tags", "lacks the column 'tags'", id="column"),
        pytest.param(b"file,tags\na.jpg,bolt\nb.jpg,bolt,nut\n", "tags", "row 3: has more fields", id="no quotes"),
        pytest.param(b"file,tags,FILE\na.jpg,bolt,b.jpg\n", "file", "names the column 'file' twice", id="two files"),
        pytest.param(b"file,tags\na.jpg,bolt\n ,nut\n", "file", "row 3: has tags and no file: write", id="no file"),
        pytest.param(b"file,tags\na.jpg,\xff\n", "csv", "cannot be read as a CSV in UTF-8", id="encoding"),
    ],
)
def test_a_broken_table_names_the_field(tmp_path: Path, content: bytes, field: str, sentence: str) -> None:
    (tmp_path / "tags.csv").write_bytes(content)
    with pytest.raises(TagFileError, match=sentence) as refused:
        read_tag_table(tmp_path / "tags.csv")
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("name", "text", "tags"),
    [
        pytest.param("x.txt", "bolt\nnut\n", ("bolt", "nut"), id="text"),
        pytest.param("x.txt", "bolt,\rnut;\r", ("bolt", "nut"), id="separators, and line ends of old Macs"),
        pytest.param("x.json", '["bolt", " nut", "", "bolt"]', ("bolt", "nut"), id="list"),
        pytest.param("x.json", '{"tags": ["pin"]}', ("pin",), id="object"),
    ],
)
def test_sidecars(tmp_path: Path, name: str, text: str, tags: tuple[str, ...]) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    sidecar = sidecar_of(tmp_path / "x.jpg")
    assert sidecar == tmp_path / name
    assert read_sidecar(sidecar) == tags


@pytest.mark.parametrize(
    ("text", "field"),
    [
        pytest.param("{", "json", id="no JSON"),
        pytest.param('{"tags": 3}', "tags", id="no list"),
        pytest.param("[1]", "tags", id="no names"),
    ],
)
def test_a_broken_sidecar_names_the_field(tmp_path: Path, text: str, field: str) -> None:
    (tmp_path / "x.json").write_text(text, encoding="utf-8")
    with pytest.raises(TagFileError) as refused:
        read_sidecar(tmp_path / "x.json")
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        pytest.param({"flags": {"bolt": True, "nut": False}, "shapes": []}, ("bolt",), id="flags"),
        pytest.param({"flags": {}, "shapes": [{"label": "nut"}, {"label": "nut"}, {}]}, ("nut",), id="shapes"),
        pytest.param({"flags": None, "shapes": []}, (), id="nothing"),
    ],
)
def test_what_labelme_writes(tmp_path: Path, text: object, tags: tuple[str, ...]) -> None:
    (tmp_path / "x.json").write_text(json.dumps(text), encoding="utf-8")
    assert read_sidecar(tmp_path / "x.json") == tags


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("0 0.38 0.36 0.40 0.41\n", id="box"),
        pytest.param("0 0.1 0.1 0.9 0.1 0.9 0.9\n12 .5 5e-1 0.2 0.3\n\n", id="polygon and box"),
    ],
)
def test_boxes_in_yolo_format_are_no_tags(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.txt").write_text(text, encoding="utf-8")
    with pytest.raises(TagFileError, match="holds boxes in YOLO format, not tags"):
        read_sidecar(tmp_path / "x.txt")


@pytest.mark.parametrize("text", ["2024", "1 2 3", "M8 bolt 10 20 30 40", "0.5 0.5 0.5 0.5 0.5"])
def test_tags_may_hold_numbers(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.txt").write_text(text, encoding="utf-8")
    assert read_sidecar(tmp_path / "x.txt") == (text,)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"file;tags\na.jpg;bolt, nut\n", id="semicolons"),
        pytest.param(b'File ,TAGS\na.jpg,"bolt, nut"\n', id="names of columns"),
        pytest.param("file\ttags\na.jpg\tbolt, nut\n".encode("utf-16"), id="Excel's Unicode text"),
        pytest.param(b'file,tags\r\na.jpg,"bolt, nut"\r\n\r\n', id="Windows' line ends"),
        pytest.param(b"file,tags,note,Tags\na.jpg,bolt,x,nut\n", id="two columns of tags"),
        pytest.param(b"file,tags,tags\na.jpg,bolt;nut\n", id="a short row"),
        pytest.param(b"file,tags\na.jpg,bolt;nut\n,\n , \n", id="rows of separators"),
        pytest.param(b"file,tags\na.jpg,bolt;nut,, \n", id="separators after the last column"),
        pytest.param(b'file,tags\na.jpg,"bolt,;nut,"\n', id="separators after a tag"),
        pytest.param(b"file,tags\ra.jpg,bolt;nut\r", id="line ends of old Macs"),
        pytest.param("\ufeffsep=;\r\nfile;tags\r\na.jpg;bolt, nut\r\n".encode(), id="Excel's line of the separator"),
    ],
)
def test_tables_as_spreadsheets_write_them(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tags.csv").write_bytes(content)
    assert read_tag_table(tmp_path / "tags.csv") == (TaggedFile(2, "a.jpg", ("bolt", "nut")),)


def test_an_image_without_a_sidecar_has_none(tmp_path: Path) -> None:
    assert sidecar_of(tmp_path / "x.jpg") is None
