"""Which pictures a folder holds and which tags each carries: from a CSV, from sidecar files or from folder names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from weaksam.files.tag_files import TagFileError, joined_rows, read_sidecar, read_tag_table, sidecar_of, split_tags

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

IMAGE_MISSING = "image_missing"
NAME_NOT_UTF8 = "name_not_utf8"

TagPlace = Literal["folder", "sidecar"]
TagsByImage = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Failure:
    """A picture without a result: its path below the folder, a stable code and a sentence."""

    image: str
    code: str
    message: str


@dataclass(frozen=True)
class Worklist:
    """What there is to label.

    Attributes:
        images: paths of all pictures below the folder, with `/`, sorted.
        tags: tags of those pictures that have any.
        failures: pictures without tags, pictures whose names are not text, and rows of the CSV without a picture.
    """

    images: tuple[str, ...]
    tags: TagsByImage
    failures: tuple[Failure, ...]


def worklist_from_csv(folder: Path, csv_path: Path) -> Worklist:
    """Tags from a CSV with the columns `file` (path below `folder`) and `tags`; rows of one picture are joined.

    Raises:
        ValueError: no such folder, no pictures in it, or a CSV that cannot be read, with the remedy.
    """
    images, nameless = find_images(folder)
    listed = joined_rows(read_tag_table(csv_path))
    worklist = _worklist(images, listed, nameless, f"{csv_path} has no tags for it")
    absent = sorted(set(listed) - set(images))
    missing = (Failure(image, IMAGE_MISSING, f"{csv_path} names it, {folder} does not hold it") for image in absent)
    return Worklist(worklist.images, worklist.tags, (*worklist.failures, *missing))


def worklist_from_names(folder: Path, place: TagPlace) -> Worklist:
    """Tags from the first folder below `folder`, or from a sidecar: `bench.txt` or `bench.json` beside `bench.jpg`.

    Raises:
        ValueError: no such folder, or no pictures in it.
    """
    images, nameless = find_images(folder)
    if place == "folder":
        named = {image: split_tags(PurePosixPath(image).parts[0]) for image in images if "/" in image}
        return _worklist(images, named, nameless, f"it lies in {folder} itself, not in a folder named after its tags")
    beside = {image: _sidecar_tags(folder / image) for image in images}
    return _worklist(images, beside, nameless, "there is no .txt or .json file of its name with tags beside it")


def find_images(folder: Path) -> tuple[tuple[str, ...], tuple[Failure, ...]]:
    """Paths of the pictures below `folder`, hidden files and folders left out, with `/`, sorted.

    Pictures whose names are not UTF-8 come apart, as failures: no CSV or JSON could name them.

    Raises:
        ValueError: the folder does not exist or holds no picture.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder: give the folder that holds the pictures")
    found = sorted(_walk(folder, PurePosixPath()))
    if not found:
        raise ValueError(f"{folder} holds no picture: looked for {', '.join(sorted(IMAGE_SUFFIXES))}")
    nameless = tuple(
        Failure(ascii(image)[1:-1], NAME_NOT_UTF8, "its name is not UTF-8: rename it")
        for image in found
        if not _is_text(image)
    )
    return tuple(filter(_is_text, found)), nameless


def _is_text(path: str) -> bool:
    # Python reads bytes that are not UTF-8 as lone surrogates, which nothing can write.
    return not any("\ud800" <= letter <= "\udfff" for letter in path)


def _walk(folder: Path, below: PurePosixPath) -> Iterator[str]:
    for entry in folder.iterdir():
        if entry.name.startswith("."):
            continue
        if entry.is_symlink() and folder.resolve().is_relative_to(entry.resolve()):
            continue  # leads back to where we are
        if entry.is_dir():
            yield from _walk(entry, below / entry.name)
        elif entry.suffix.lower() in IMAGE_SUFFIXES:
            yield str(below / entry.name)


def _worklist(images: tuple[str, ...], tags: TagsByImage, nameless: tuple[Failure, ...], without: str) -> Worklist:
    tagged = {image: tags[image] for image in images if tags.get(image)}
    bare = tuple(Failure(image, "no_tags", without) for image in images if image not in tagged)
    return Worklist(images, tagged, (*bare, *nameless))


def _sidecar_tags(image: Path) -> tuple[str, ...]:
    sidecar = sidecar_of(image)
    try:
        return () if sidecar is None else read_sidecar(sidecar)
    except TagFileError:
        return ()
