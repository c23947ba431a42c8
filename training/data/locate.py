"""Find the image files that annotations name, and those that none of them names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from training.data.checks import Report
from weaksam.files.file_names import ambiguous, match_names
from weaksam.files.image_files import find_images
from weaksam.files.path_checks import is_file


def locate(root: Path, names: Iterable[str], folders: Sequence[str], source: Path, report: Report) -> dict[str, Path]:
    """Return the file of each name: in one of the folders below `root` as written, else as `match_names` finds it.

    A name without a file gets the path where it would be. One that may mean several files is reported and left out.
    """
    wanted = dict.fromkeys(names)
    found = {name: path for name in wanted if (path := _as_written(root, name, folders)) is not None}
    lost = [name for name in wanted if name not in found]
    if not lost:
        return found
    taken = set(found.values())
    matched = match_names(lost, [path for path in image_paths(root) if root / path not in taken])
    if matched.note is not None:
        report.notes.append(f"{source.name}: {matched.note}")
    found |= {name: root / path for name, path in matched.path_of.items()}
    for name, candidates in matched.candidates_of.items():
        if candidates:
            report.add(source, repr(name), f"{ambiguous(candidates)}; the image is left out")
        else:
            found[name] = root / folders[0] / name
    return found


def report_unnamed(below: Path, named: Iterable[Path], what: str, report: Report, besides: Sequence[str] = ()) -> None:
    """Report images `below` that nothing names, and what cannot be used there; folders `besides` hold others."""
    known, found = set(named), find_images(below, empty_ok=True)
    for problem in found.problems:
        report.add(below / problem.path, problem.code, problem.message)
    for path in found.paths:
        if below / path not in known and path.partition("/")[0] not in besides:
            report.add(below / path, "tags", f"{what}; the image is left out")


def image_paths(folder: Path) -> tuple[str, ...]:
    """Return the images below a folder, with `/`, sorted."""
    return find_images(folder, empty_ok=True).paths


def image_id(root: Path, path: Path) -> str:
    """Return the path below the root without suffix, by which an image is known."""
    relative = (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()
    return relative.removesuffix(path.suffix)


def entries(folder: Path) -> list[Path]:
    """Return what a folder holds, hidden entries left out; nothing if it cannot be entered."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []


def _as_written(root: Path, name: str, folders: Sequence[str]) -> Path | None:
    return next((path for folder in folders if is_file(path := root / folder / name)), None)
