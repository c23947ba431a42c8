"""Which images a folder holds and which tags each has: from a CSV, from sidecar files or from folder names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from weaksam.files.file_names import ambiguous, match_names
from weaksam.files.image_files import UNREADABLE, ImageFiles, find_images
from weaksam.files.label_studio_export import read_label_studio_tags
from weaksam.files.tag_files import TagFileError, TaggedFile, joined_rows, read_sidecar, read_tag_table, sidecar_of
from weaksam.tag_texts import split_written_tags

IMAGE_MISSING = "image_missing"

TagPlace = Literal["folder", "sidecar"]
TagsByImage = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Failure:
    """An image without a result: its path below the folder, a stable code and a sentence."""

    image: str
    code: str
    message: str


def unreadable(image: str, error: OSError) -> Failure:
    """Return the failure of an image whose file cannot be read."""
    return Failure(image, UNREADABLE, f"the file cannot be read: {error.strerror or error}")


@dataclass(frozen=True)
class Worklist:
    """What there is to label.

    Attributes:
        images: paths of all images below the folder, with `/`, sorted.
        tags: tags of those images that have any.
        failures: images without tags, files that cannot be used, and rows of the CSV without an image.
        notes: sentences on what was put right.
    """

    images: tuple[str, ...]
    tags: TagsByImage
    failures: tuple[Failure, ...]
    notes: tuple[str, ...] = ()


def worklist_from_table(folder: Path, path: Path, files: ImageFiles | None = None) -> Worklist:
    """Read tags from a CSV with the columns `file` (path below `folder`) and `tags`, or from a Label Studio export.

    Rows of one image are joined. Names that `match_names` can put right count as paths. Images that a list leaves out
    are no failures.

    Args:
        folder: of the images.
        path: the table; one that ends in `.json` is an export.
        files: the images of the folder, if they are known.

    Raises:
        UserError: no such folder, no images in it, or a table that cannot be read, with the remedy.
    """
    files = files or find_images(folder)
    listed = joined_rows(_table_rows(path, files))
    matched = match_names(listed, files.paths)
    without = dict.fromkeys(files.paths, f"{path} has no tags for it")
    worklist = _worklist(files, matched.tags_by_path(listed), without)
    named = {problem.path for problem in files.problems}
    # A list is a choice: an image of it that a misspelt name should mean is reported as one without tags.
    left_out = [name for name, found in matched.candidates_of.items() if files.chosen and not found]
    missing = (
        Failure(name, IMAGE_MISSING, f"{path} names it, {_why_missing(folder, candidates)}")
        for name, candidates in sorted(matched.candidates_of.items())
        if name not in named and (candidates or not files.chosen)
    )
    notes = tuple(f"{path}: {note}" for note in (matched.note, _left_out_note(left_out)) if note is not None)
    return replace(worklist, failures=(*worklist.failures, *missing), notes=notes)


def worklist_from_names(folder: Path, place: TagPlace, files: ImageFiles | None = None) -> Worklist:
    """Read tags from the name of the first folder, or from a sidecar: `bench.txt` or `bench.json` beside `bench.jpg`.

    Args:
        folder: of the images.
        place: where the tags are.
        files: the images of the folder, if they are known.

    Raises:
        UserError: no such folder, or no images in it.
    """
    files = files or find_images(folder)
    if place == "folder":
        named = {image: split_written_tags(PurePosixPath(image).parts[0]) for image in files.paths if "/" in image}
        reason = f"it lies in {folder} itself, not in a folder named after its tags"
        return _worklist(files, named, dict.fromkeys(files.paths, reason))
    beside, without = dict[str, tuple[str, ...]](), dict[str, str]()
    for image in files.paths:
        try:
            beside[image] = _sidecar_tags(folder / image)
        except TagFileError as error:
            without[image] = str(error)
    return _worklist(files, beside, without)


def _table_rows(path: Path, files: ImageFiles) -> tuple[TaggedFile, ...]:
    if path.suffix.lower() == ".json":
        return read_label_studio_tags(path, frozenset(files.paths))
    return read_tag_table(path)


def _left_out_note(names: Sequence[str]) -> str | None:
    return f"names that are not in the list are left out: {len(names)}, such as {names[0]!r}" if names else None


def _why_missing(folder: Path, candidates: tuple[str, ...]) -> str:
    return ambiguous(candidates) if candidates else f"{folder} does not hold it"


def _worklist(files: ImageFiles, tags: TagsByImage, without: Mapping[str, str]) -> Worklist:
    tagged = {image: tags[image] for image in files.paths if tags.get(image)}
    bare = tuple(
        Failure(image, "no_tags", without.get(image, "it has no tags")) for image in files.paths if image not in tagged
    )
    unusable = tuple(Failure(problem.path, problem.code, problem.message) for problem in files.problems)
    return Worklist(files.paths, tagged, (*bare, *unusable))


def _sidecar_tags(image: Path) -> tuple[str, ...]:
    sidecar = sidecar_of(image)
    if sidecar is None:
        raise TagFileError("file", "there is no .txt or .json file of its name with tags beside it")
    try:
        return read_sidecar(sidecar)
    except TagFileError as error:
        raise TagFileError(error.field, f"{sidecar.name}: {error}") from error
