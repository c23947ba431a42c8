"""Images below a folder: their order, links, and what cannot be used."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from weaksam.files.image_files import find_images

NOBODY = 65534


def make_files(folder: Path, *paths: str) -> Path:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"x")
    return folder


@contextmanager
def without_rights() -> Iterator[None]:
    """Root may read everything, so it becomes somebody else for a moment."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may read, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_images_of_all_folders_are_found_in_order(tmp_path: Path) -> None:
    folder = make_files(tmp_path, "b/x.JPG", "a/x.jpg", "x.png", "x.gif", ".hidden/x.jpg", ".x.jpg", "notes.txt")
    files = find_images(folder)
    assert files.paths == ("a/x.jpg", "b/x.JPG", "x.gif", "x.png")
    assert files.problems == ()


def test_links_are_followed_but_not_back_to_a_folder_above(tmp_path: Path) -> None:
    folder = make_files(tmp_path / "in", "a/x.jpg")
    (folder / "a" / "latest").symlink_to(folder)
    make_files(tmp_path / "elsewhere", "y.jpg")
    (folder / "more").symlink_to(tmp_path / "elsewhere")
    assert find_images(folder).paths == ("a/x.jpg", "more/y.jpg")


def test_links_that_lead_to_each_other_end(tmp_path: Path) -> None:
    folder = make_files(tmp_path, "a/x.jpg", "b/y.jpg")
    (folder / "a" / "to_b").symlink_to(folder / "b")
    (folder / "b" / "to_a").symlink_to(folder / "a")
    (folder / "itself").symlink_to(folder / "itself")
    assert find_images(folder).paths == ("a/to_b/y.jpg", "a/x.jpg", "b/to_a/x.jpg", "b/y.jpg")


@pytest.mark.parametrize("mode", [0, 0o444], ids=["closed", "listed alone"])
def test_a_folder_that_cannot_be_entered_is_reported(open_folder: Path, mode: int) -> None:
    make_files(open_folder, "a.jpg", "lost+found/b.jpg")
    (open_folder / "lost+found").chmod(mode)
    with without_rights():
        files = find_images(open_folder)
    (open_folder / "lost+found").chmod(0o755)
    assert files.paths == ("a.jpg",)
    assert [(problem.path, problem.code) for problem in files.problems] == [("lost+found", "folder_unreadable")]


@pytest.mark.parametrize(
    ("below", "sentence"),
    [pytest.param("absent", "is not a folder", id="absent"), pytest.param(".", "holds no image", id="empty")],
)
def test_a_folder_without_images_is_refused(tmp_path: Path, below: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        find_images(tmp_path / below)


def test_formats_that_are_not_read_are_named(tmp_path: Path) -> None:
    folder = make_files(tmp_path, "a.jfif", "b.AVIF", "c.HEIC", "d.nef", "e.txt")
    files = find_images(folder)
    assert files.paths == ("a.jfif", "b.AVIF")
    assert [(problem.path, problem.code) for problem in files.problems] == [
        ("c.HEIC", "unsupported_format"),
        ("d.nef", "unsupported_format"),
    ]
    assert files.problems[0].message == "HEIC is not supported: convert it to JPEG or PNG"


def test_a_folder_of_nothing_but_other_formats_says_so(tmp_path: Path) -> None:
    folder = make_files(tmp_path, "a.heic")
    with pytest.raises(ValueError, match=r"holds no image.*; a\.heic: HEIC is not supported: convert it"):
        find_images(folder)


def test_pipes_and_devices_are_reported_and_not_read(tmp_path: Path) -> None:
    folder = make_files(tmp_path, "a.jpg")
    os.mkfifo(folder / "p.jpg")
    (folder / "z.jpg").symlink_to("/dev/zero")
    (folder / "gone.jpg").symlink_to(folder / "nowhere")
    files = find_images(folder)
    assert files.paths == ("a.jpg", "gone.jpg"), "a link to nothing fails when it is read"
    assert [(problem.path, problem.code) for problem in files.problems] == [
        ("p.jpg", "no_regular_file"),
        ("z.jpg", "no_regular_file"),
    ]
    assert files.problems[0].message.startswith("it is no regular file: move it away")
