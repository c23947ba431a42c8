"""Lists of images: which folder the images are named below."""

from __future__ import annotations

from pathlib import Path

import pytest

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
