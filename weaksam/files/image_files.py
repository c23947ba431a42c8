"""Which files below a folder are images: the same for labelling and for training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from weaksam.errors import UserError
from weaksam.tag_texts import is_text

IMAGE_SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    ".png",
    ".webp",
    ".avif",
    ".bmp",
    ".dib",
    ".tif",
    ".tiff",
    ".gif",
)
# Images that no decoder here reads: they are named instead of being passed over in silence.
UNSUPPORTED_SUFFIXES = {
    ".heic": "HEIC",
    ".heif": "HEIF",
    ".hif": "HEIF",
    ".jxl": "JPEG XL",
    ".jp2": "JPEG 2000",
    ".j2k": "JPEG 2000",
    ".psd": "Photoshop",
    ".svg": "SVG",
    ".tga": "TGA",
    ".exr": "OpenEXR",
    **dict.fromkeys((".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2"), "camera raw"),
}
# A folder that holds this file has the results of `weaksam label`, whose masks are no photographs.
JOURNAL = "journal.jsonl"
CONVERT = "convert it to JPEG or PNG"
# Which bytes, from which offset on, tell a file that is no image here. Suffixes are often wrong.
_FOREIGN_STARTS = (
    (4, b"ftypheic", "HEIC"),
    (4, b"ftypheix", "HEIC"),
    (4, b"ftyphevc", "HEIC"),
    (4, b"ftypmif1", "HEIF"),
    (4, b"ftypmsf1", "HEIF"),
    (4, b"ftypcrx ", "camera raw"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%PDF", "PDF"),
    (0, b"<svg", "SVG"),
    (0, b"<?xml", "XML"),
    (0, b"<!DOCTYPE html", "an HTML page"),
    (0, b"<html", "an HTML page"),
    (0, b"version https://git-lfs", "a Git LFS pointer, whose file was not downloaded"),
)
HEAD_BYTES = 32
RAW_PREVIEW = "camera raw, of which only a preview could be read"

FOLDER_UNREADABLE = "folder_unreadable"
NAME_NOT_UTF8 = "name_not_utf8"
NO_REGULAR_FILE = "no_regular_file"
UNREADABLE = "unreadable"
UNSUPPORTED_FORMAT = "unsupported_format"


@dataclass(frozen=True)
class FileProblem:
    """A file or folder that cannot be used: its path below the folder, a stable code and a sentence."""

    path: str
    code: str
    message: str


@dataclass(frozen=True)
class ImageFiles:
    """Paths of images below a folder, with `/`, sorted; and what could not be used.

    Attributes:
        chosen: whether a list names them, so that the folder may hold others.
    """

    paths: tuple[str, ...]
    problems: tuple[FileProblem, ...]
    chosen: bool = False


def find_images(folder: Path, *, empty_ok: bool = False) -> ImageFiles:
    """Return the images below `folder`. Links are followed; hidden files and folders are left out, results as well.

    Raises:
        UserError: the folder does not exist or, unless `empty_ok`, holds no image.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: give the folder that holds the images")
    walk = _Walk()
    found = sorted(walk.images(folder, PurePosixPath(), ()))
    if not found and not empty_ok:
        reasons = "".join(f"; {problem.path}: {problem.message}" for problem in walk.problems[:1])
        raise UserError(f"{folder} holds no image: looked for {', '.join(IMAGE_SUFFIXES)}{reasons}")
    # No CSV or JSON could name these.
    nameless = (
        FileProblem(ascii(path)[1:-1], NAME_NOT_UTF8, "its name is not UTF-8: rename it")
        for path in found
        if not is_text(path)
    )
    return ImageFiles(tuple(filter(is_text, found)), (*walk.problems, *nameless))


def foreign_format(head: bytes) -> str | None:
    """Name the format that a file's first `HEAD_BYTES` bytes are of, if it is one that is not read here."""
    return next((name for offset, start, name in _FOREIGN_STARTS if head[offset:].startswith(start)), None)


@dataclass
class _Walk:
    problems: list[FileProblem] = field(default_factory=list)

    def images(self, folder: Path, below: PurePosixPath, inside: tuple[Path, ...]) -> Iterator[str]:
        """Yield the images of `folder`, which lies at `below`, in the real folders `inside`."""
        real = folder.resolve()
        if real in inside:
            return  # a link leads back to where we are
        entries = self._entries(folder, below)
        if inside and any(entry.name == JOURNAL for entry in entries):
            return
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path, suffix = below / entry.name, entry.suffix.lower()
            try:
                kind = _kind_of(entry)
            except OSError as error:
                # A folder may be listed by those who may not enter it.
                self._add_folder(below, error)
                return
            if kind == "folder":
                yield from self.images(entry, path, (*inside, real))
            elif suffix in IMAGE_SUFFIXES and kind == "file":
                yield str(path)
            elif suffix in IMAGE_SUFFIXES:
                self._add(path, NO_REGULAR_FILE, "it is no regular file: move it away, or copy the image into one")
            elif suffix in UNSUPPORTED_SUFFIXES:
                self._add(path, UNSUPPORTED_FORMAT, f"{UNSUPPORTED_SUFFIXES[suffix]} is not supported: {CONVERT}")

    def _entries(self, folder: Path, below: PurePosixPath) -> list[Path]:
        try:
            return sorted(folder.iterdir())
        except OSError as error:
            self._add_folder(below, error)
            return []

    def _add_folder(self, path: PurePosixPath, error: OSError) -> None:
        self._add(path, FOLDER_UNREADABLE, f"the folder cannot be read ({error.strerror}): allow it, or move it away")

    def _add(self, path: PurePosixPath, code: str, message: str) -> None:
        self.problems.append(FileProblem(_as_text(str(path)), code, message))


def _kind_of(entry: Path) -> Literal["folder", "file", "other"]:
    if entry.is_dir():
        return "folder"
    # A link to nothing is left to whoever reads it.
    return "file" if entry.is_file() or not entry.exists() else "other"


def _as_text(path: str) -> str:
    return path if is_text(path) else ascii(path)[1:-1]
