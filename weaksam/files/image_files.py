"""Which files below a folder are images: the same for labelling and for training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")

FOLDER_UNREADABLE = "folder_unreadable"
NAME_NOT_UTF8 = "name_not_utf8"


@dataclass(frozen=True)
class FileProblem:
    """A file or folder that cannot be used: its path below the folder, a stable code and a sentence."""

    path: str
    code: str
    message: str


@dataclass(frozen=True)
class ImageFiles:
    """Paths of images below a folder, with `/`, sorted; and what could not be used."""

    paths: tuple[str, ...]
    problems: tuple[FileProblem, ...]


def find_images(folder: Path) -> ImageFiles:
    """Return the images below `folder`. Links are followed; hidden files and folders are left out.

    Raises:
        ValueError: the folder does not exist or holds no image.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder: give the folder that holds the images")
    walk = _Walk()
    found = sorted(walk.images(folder, PurePosixPath(), ()))
    if not found:
        raise ValueError(f"{folder} holds no image: looked for {', '.join(IMAGE_SUFFIXES)}")
    # No CSV or JSON could name these.
    nameless = (
        FileProblem(ascii(path)[1:-1], NAME_NOT_UTF8, "its name is not UTF-8: rename it")
        for path in found
        if not _is_text(path)
    )
    return ImageFiles(tuple(filter(_is_text, found)), (*walk.problems, *nameless))


@dataclass
class _Walk:
    problems: list[FileProblem] = field(default_factory=list)

    def images(self, folder: Path, below: PurePosixPath, inside: tuple[Path, ...]) -> Iterator[str]:
        """Yield the images of `folder`, which lies at `below`, in the real folders `inside`."""
        real = folder.resolve()
        if real in inside:
            return  # a link leads back to where we are
        for entry in self._entries(folder, below):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from self.images(entry, below / entry.name, (*inside, real))
            elif entry.suffix.lower() in IMAGE_SUFFIXES:
                yield str(below / entry.name)

    def _entries(self, folder: Path, below: PurePosixPath) -> list[Path]:
        try:
            return list(folder.iterdir())
        except OSError as error:
            message = f"the folder cannot be read ({error.strerror}): allow it, or move it away"
            self.problems.append(FileProblem(str(below), FOLDER_UNREADABLE, message))
            return []


def _is_text(path: str) -> bool:
    # Python reads bytes that are not UTF-8 as lone surrogates, which nothing can write.
    return not any("\ud800" <= letter <= "\udfff" for letter in path)
