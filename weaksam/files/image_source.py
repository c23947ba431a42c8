"""The images of a command, where they are: a folder here, a folder behind an address, or a list of either.

Addresses are those of fsspec, such as `s3://bucket/photos` and `https://host/photos/`. What lies behind them is read
when it is needed and never copied to a disk.
"""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast
from urllib.parse import unquote

from weaksam.errors import UserError
from weaksam.files.image_files import (
    CONVERT,
    IMAGE_SUFFIXES,
    UNSUPPORTED_FORMAT,
    UNSUPPORTED_SUFFIXES,
    FileProblem,
    ImageFiles,
    find_images,
)
from weaksam.files.text_files import decoded, lines_of

SCHEME_END = "://"
LIST_SUFFIX = ".txt"
WEB = ("http://", "https://")
# What the libraries behind fsspec raise beside OSError: module and class.
FOREIGN_ERRORS = (
    ("aiohttp", "ClientError"),
    ("botocore.exceptions", "BotoCoreError"),
    ("gcsfs.retry", "HttpError"),
    ("google.auth.exceptions", "GoogleAuthError"),
)


@dataclass(frozen=True)
class ImageSource:
    """Images below one folder.

    Attributes:
        folder: a path here, or one of universal-pathlib, which reads as a path does.
        files: the images in it, or those of them that a list names.
    """

    folder: Path
    files: ImageFiles


def open_images(location: str) -> ImageSource:
    """Find the images at a location.

    Args:
        location: a folder, an address of one, or a text file (`.txt`) with the path or address of an image a line.

    Raises:
        UserError: there is no such folder or no image, it cannot be reached, or what it needs is not installed.
    """
    try:
        with as_os_errors():
            return _listed(location) if location.lower().endswith(LIST_SUFFIX) else _in_folder(location)
    except OSError as error:
        raise UserError(f"{location} cannot be read: {error.strerror or error}") from error


def open_path(location: str) -> Path:
    """Return the path of a location, which may be an address; raise UserError if what it needs is not installed."""
    if SCHEME_END not in location:
        return Path(location)
    try:
        from upath import UPath  # noqa: PLC0415 - the base install does not have it

        # It has the methods of a path that are used here, though it is none.
        return cast(Path, UPath(location))
    except ImportError as error:
        raise UserError(f"{location} needs more: pip install -e '.[cloud]' in a checkout ({error})") from error
    except ValueError as error:
        raise UserError(f"{location} is no address that fsspec knows: {error}") from error


def is_address(path: Path) -> bool:
    """Return whether a path of `open_path` lies behind an address, and not here."""
    return SCHEME_END in str(path)


@contextmanager
def as_os_errors() -> Iterator[None]:
    """Raise OSError in place of what the libraries behind addresses raise."""
    try:
        yield
    except Exception as error:
        # Only now: the libraries are imported when an address is first used.
        known = [getattr(sys.modules.get(module), name, ()) for module, name in FOREIGN_ERRORS]
        if isinstance(error, tuple(known)):
            raise OSError(str(error)) from error
        raise


def _in_folder(location: str) -> ImageSource:
    folder = open_path(location)
    if SCHEME_END not in location:
        return ImageSource(folder, find_images(folder))
    return ImageSource(folder, _found(folder, location))


def _found(folder: Path, location: str) -> ImageFiles:
    """List a folder behind an address in as few requests as its file system can."""
    file_system, root = folder.fs, folder.path.rstrip("/") + "/"  # type: ignore[attr-defined]
    if location.startswith(WEB):
        _check_responds(file_system, root, location)
    names = [name.removeprefix(root) for name in file_system.find(root) if name.startswith(root)]
    if location.startswith(WEB):
        names = [unquote(name) for name in names]
    visible = sorted(name for name in names if not any(part.startswith(".") for part in name.split("/")))
    images = tuple(name for name in visible if _suffix(name) in IMAGE_SUFFIXES)
    if not images:
        raise UserError(f"{location} holds no image: looked for {', '.join(IMAGE_SUFFIXES)}")
    problems = (
        FileProblem(name, UNSUPPORTED_FORMAT, f"{UNSUPPORTED_SUFFIXES[_suffix(name)]} is not supported: {CONVERT}")
        for name in visible
        if _suffix(name) in UNSUPPORTED_SUFFIXES
    )
    return ImageFiles(images, tuple(problems))


def _check_responds(file_system: Any, root: str, location: str) -> None:
    """Raise UserError if a folder of a web server cannot be listed: `find` takes that for an empty one."""
    try:
        file_system.ls(root)
    except FileNotFoundError as error:
        raise UserError(f"{location} does not exist on its server: check the address") from error
    except OSError as error:
        cause = error.strerror or error
        raise UserError(f"nothing responds at {location} ({cause}): check the address, or start its server") from error


def _listed(location: str) -> ImageSource:
    """Read a list; images are named below its own folder, or below the folder that holds them all.

    The list's folder stays the same if lines are added, so images keep their names.
    """
    path = open_path(location)
    written = _lines(path, location)
    beside = location[: len(location) - len(path.name)]
    if any(Path(line).is_absolute() or _climbs(line) for line in written):
        beside = _absolute(beside)
    full = [_tidy(line if _is_whole(line) else beside + line) for line in written]
    beside = _tidy(beside + "x")[:-1]  # a folder as it begins the paths of its images
    root = beside if all(_is_below(beside, address) for address in full) else _common_folder(full, location)
    names = sorted({address.removeprefix(root) for address in full})
    return ImageSource(open_path(root or "."), ImageFiles(tuple(names), (), chosen=True))


def _lines(path: Path, location: str) -> list[str]:
    """Return the lines of a list that name an image."""
    try:
        text = decoded(path.read_bytes())
    except UnicodeDecodeError as error:
        raise UserError(f"{location} cannot be read as a list in UTF-8 ({error}): save it as UTF-8") from error
    lines = enumerate((line.strip() for line in lines_of(text)), start=1)
    written = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not written:
        raise UserError(f"{location} names no image: write the path or address of one a line")
    torn = next(((number, line) for number, line in written if "\0" in line), None)
    if torn is not None:
        raise UserError(f"{location}, line {torn[0]}: {torn[1]!r} has a zero byte, which no path has: write it again")
    return [line for _, line in written]


def _is_whole(line: str) -> bool:
    return SCHEME_END in line or Path(line).is_absolute()


def _absolute(folder: str) -> str:
    return folder if SCHEME_END in folder else f"{Path(folder).absolute().as_posix().rstrip('/')}/"


def _climbs(line: str) -> bool:
    return ".." in line.split("/")


def _tidy(address: str) -> str:
    """Return the one way to write a path or an address, so that no image has two names and none leads upwards."""
    if SCHEME_END in address:
        return _without_dots(address)
    if _climbs(address):
        # As the system reads it: behind a link, `..` is not the folder that the link lies in.
        return posixpath.normpath(Path(address).parent.resolve() / Path(address).name)
    return str(PurePosixPath(address))


def _without_dots(address: str) -> str:
    # An empty part stays: a bucket may have photos//a.jpg.
    host, *parts = address.rpartition(SCHEME_END)[2].split("/")
    kept: list[str] = []
    for part in parts:
        if part == "..":
            kept[-1:] = []
        elif part != ".":
            kept.append(part)
    return "/".join([address.rpartition(SCHEME_END)[0] + SCHEME_END + host, *kept])


def _is_below(folder: str, address: str) -> bool:
    return address.startswith(folder) and not _is_whole(address.removeprefix(folder))


def _common_folder(addresses: Iterable[str], location: str) -> str:
    """Return the longest start of all addresses that ends in a slash."""
    folders = [address.split("/")[:-1] for address in addresses]
    common = []
    for parts in zip(*folders, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    if any(SCHEME_END in "/".join(folder) for folder in folders) and len(common) < 3:
        raise UserError(f"{location} names images of several hosts: make a list for each")
    return "".join(f"{part}/" for part in common)


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()
