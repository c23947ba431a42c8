"""Lists of images: which folder the images are named below."""

from __future__ import annotations

from pathlib import Path

import pytest

from weaksam.errors import UserError
from weaksam.files.image_source import ImageSource, open_images


def listed(folder: Path, *lines: str) -> ImageSource:
    folder.mkdir(exist_ok=True)
    (folder / "list.txt").write_text("\n".join(lines))
    return open_images(str(folder / "list.txt"))


def test_images_keep_their_names_if_one_of_another_folder_is_added(tmp_path: Path) -> None:
    before = listed(tmp_path / "in", "Bolt/a.jpg", "Bolt/b.jpg")
    after = listed(tmp_path / "in", "Bolt/a.jpg", "Bolt/b.jpg", "./Nut/c.jpg")
    assert before.folder == after.folder == tmp_path / "in"
    assert before.files.paths == ("Bolt/a.jpg", "Bolt/b.jpg"), "the folder's name is there for --tags-from folder"
    assert after.files.paths == (*before.files.paths, "Nut/c.jpg")


def test_a_whole_path_below_the_list_is_named_as_a_relative_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "in"
    lines = (f"{inside}/Bolt/a.jpg", "Bolt/b.jpg")
    assert listed(inside, *lines).files.paths == ("Bolt/a.jpg", "Bolt/b.jpg")
    monkeypatch.chdir(inside)
    source = open_images("list.txt")
    assert (source.folder, source.files.paths) == (inside, ("Bolt/a.jpg", "Bolt/b.jpg"))


@pytest.mark.parametrize(
    "elsewhere", ["{}/other/c.jpg", "./../other/c.jpg"], ids=["a whole path", "a path that climbs"]
)
def test_images_elsewhere_are_named_below_the_folder_that_holds_them_all(tmp_path: Path, elsewhere: str) -> None:
    source = listed(tmp_path / "in", "Bolt/a.jpg", elsewhere.format(tmp_path))
    assert (source.folder, source.files.paths) == (tmp_path, ("in/Bolt/a.jpg", "other/c.jpg"))


@pytest.mark.parametrize("line", ["./a.jpg", ".//a.jpg", "x/../a.jpg", "{}/./a.jpg", "../in/a.jpg"])
def test_an_image_that_is_written_in_two_ways_counts_once(tmp_path: Path, line: str) -> None:
    source = listed(tmp_path / "in", "a.jpg", line.format(tmp_path / "in"))
    assert (source.folder, source.files.paths) == (tmp_path / "in", ("a.jpg",))


@pytest.mark.parametrize("place", ["./list.txt", "../in/list.txt", "list.txt"])
def test_names_begin_at_the_lists_folder_however_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    listed(tmp_path / "in", "Bolt/a.jpg", "Bolt/b.jpg")
    monkeypatch.chdir(tmp_path / "in")
    source = open_images(place)
    assert (source.folder.resolve(), source.files.paths) == (tmp_path / "in", ("Bolt/a.jpg", "Bolt/b.jpg"))


def test_an_image_behind_a_link_keeps_its_name(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").symlink_to(tmp_path / "0815")
    assert listed(tmp_path / "in", "b.jpg", "../photos/a.jpg").files.paths == ("in/b.jpg", "photos/a.jpg")


def test_addresses_that_climb_are_named_below_one_folder(tmp_path: Path) -> None:
    source = listed(tmp_path, "s3://b/x/../a.jpg", "s3://b/y/./c.jpg", "s3://b/y//d.jpg", "s3://b/a.jpg")
    assert (str(source.folder), source.files.paths) == ("s3://b/", ("a.jpg", "y//d.jpg", "y/c.jpg"))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_lists_as_editors_save_them(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "list.txt").write_text("grün.jpg\r\n", encoding=encoding, newline="")
    assert open_images(str(tmp_path / "list.txt")).files.paths == ("grün.jpg",)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        pytest.param("grün.jpg".encode("latin-1"), r"list\.txt cannot be read as a list in UTF-8", id="Latin-1"),
        pytest.param(b"a.jpg\nb\0.jpg\n", r"list\.txt, line 2: 'b\\x00\.jpg' has a zero byte", id="a zero byte"),
        pytest.param(b"# none\n", r"list\.txt names no image", id="nothing"),
    ],
)
def test_a_list_that_cannot_be_used_is_one_sentence(tmp_path: Path, data: bytes, sentence: str) -> None:
    (tmp_path / "list.txt").write_bytes(data)
    with pytest.raises(UserError, match=sentence):
        open_images(str(tmp_path / "list.txt"))
