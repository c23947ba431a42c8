"""Names as other machines write them, and which files they mean."""

from __future__ import annotations

import unicodedata

import pytest

from weaksam.files.file_names import match_names

PATHS = ("b.JPG", "day1/a.jpg", "day2/c.jpg", "grün.jpg", "x/same.jpg", "y/same.jpg")


@pytest.mark.parametrize(
    ("written", "path"),
    [
        pytest.param("day1/a.jpg", "day1/a.jpg", id="as it is"),
        pytest.param("day1\\a.jpg", "day1/a.jpg", id="backslash"),
        pytest.param("b.jpg", "b.JPG", id="case"),
        pytest.param("C:\\photos\\day1\\a.jpg", "day1/a.jpg", id="folders of another machine"),
        pytest.param("/home/me/photos/day2/c.jpg", "day2/c.jpg", id="absolute"),
        pytest.param("c.jpg", "day2/c.jpg", id="without its folder"),
        pytest.param("day1/a", "day1/a.jpg", id="without its suffix"),
        pytest.param(unicodedata.normalize("NFD", "grün.jpg"), "grün.jpg", id="letters composed in another way"),
        pytest.param("X/SAME.jpg", "x/same.jpg", id="the folder decides"),
    ],
)
def test_one_file_can_be_meant(written: str, path: str) -> None:
    matched = match_names([written], PATHS)
    assert matched.path_of == {written: path}
    assert (matched.note is None) == (written == path)


@pytest.mark.parametrize(
    ("written", "candidates"),
    [
        pytest.param("same.jpg", ("x/same.jpg", "y/same.jpg"), id="two of the name"),
        pytest.param("day3/a.jpg", (), id="another folder"),
        pytest.param("../a.jpg", (), id="outside"),
        pytest.param("d.jpg", (), id="none"),
        pytest.param("", (), id="empty"),
    ],
)
def test_no_file_or_several_can_be_meant(written: str, candidates: tuple[str, ...]) -> None:
    matched = match_names([written], PATHS)
    assert matched.path_of == {}
    assert matched.candidates_of == {written: candidates}


def test_a_file_that_is_named_as_it_is_is_nobody_else_s() -> None:
    matched = match_names(["a.jpg", "old/a.jpg"], ("a.jpg",))
    assert matched.path_of == {"a.jpg": "a.jpg"}
    assert matched.candidates_of == {"old/a.jpg": ()}


def test_names_that_mean_one_file_give_it_their_tags_together() -> None:
    matched = match_names(["A.jpg", "a.JPG"], ("a.jpg",))
    assert matched.tags_by_path({"A.jpg": ("bolt",), "a.JPG": ("nut", "bolt")}) == {"a.jpg": ("bolt", "nut")}
    assert matched.note is not None
    assert matched.note.startswith("2 names are written in another way than the files, such as 'A.jpg' for a.jpg")
