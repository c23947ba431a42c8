"""Find the files that names in a table or an annotation mean, though they were written on another machine."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class MatchedNames:
    """What written names mean.

    Attributes:
        path_of: the path of each written name that means one file.
        candidates_of: for each other name the paths that it may mean: none, or several.
        note: a sentence if names were matched that are written in another way; else None.
    """

    path_of: dict[str, str]
    candidates_of: dict[str, tuple[str, ...]]
    note: str | None

    def tags_by_path(self, tags_of: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        """Return the tags of the written names by path; those of names that mean one file together."""
        joined: dict[str, tuple[str, ...]] = {}
        for name, path in self.path_of.items():
            joined[path] = tuple(dict.fromkeys((*joined.get(path, ()), *tags_of[name])))
        return joined


def match_names(written: Iterable[str], paths: Sequence[str]) -> MatchedNames:
    """Match names to `paths`, which are below one folder and separated by `/`.

    A name that is no path as it stands may differ in case, in backslashes, in leading folders, in its missing suffix
    and in the way its letters are composed. It is matched if only one file can be meant, and never to a file that
    another name means as it stands.
    """
    names = list(dict.fromkeys(written))
    exact = set(paths)
    path_of = {name: name for name in names if name in exact}
    loose = LooseIndex([path for path in paths if path not in path_of])
    candidates_of: dict[str, tuple[str, ...]] = {}
    loosely: dict[str, str] = {}
    for name in names:
        if name in path_of:
            continue
        found = loose.candidates(name)
        if len(found) == 1:
            loosely[name] = found[0]
        else:
            candidates_of[name] = found
    return MatchedNames(path_of | loosely, candidates_of, _note(loosely))


def ambiguous(candidates: Sequence[str]) -> str:
    """Return what to say of a name that may mean several files."""
    shown = ", ".join(candidates[:5]) + (", ..." if len(candidates) > 5 else "")
    return f"it may mean {shown}: write the path below the folder"


class LooseIndex:
    """Paths by their folded ends, so that one look-up finds all that end alike."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._by_name: dict[str, list[tuple[tuple[str, ...], str]]] = defaultdict(list)
        for path in paths:
            parts = _folded(path)
            self._by_name[parts[-1]].append((parts, path))
            self._by_name[_stem(parts[-1])].append(((*parts[:-1], _stem(parts[-1])), path))

    def candidates(self, name: str) -> tuple[str, ...]:
        """Return the paths that end in the name, and those that the name ends in, whole folders at a time."""
        wanted = _folded(name)
        if not wanted or ".." in wanted:
            return ()
        rows = self._by_name.get(wanted[-1], [])
        for whole in (True, False):  # the same path in other letters goes before an end of it
            found = dict.fromkeys(path for parts, path in rows if _ends_alike(parts, wanted, whole))
            if found:
                return tuple(found)
        return ()


def _ends_alike(parts: tuple[str, ...], wanted: tuple[str, ...], whole: bool) -> bool:
    length = min(len(parts), len(wanted))
    return parts == wanted if whole else parts[-length:] == wanted[-length:]


def _folded(path: str) -> tuple[str, ...]:
    text = unicodedata.normalize("NFC", path.strip().replace("\\", "/")).casefold()
    return tuple(part for part in PurePosixPath(text).parts if part not in ("/", "."))


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def _note(loosely: dict[str, str]) -> str | None:
    if not loosely:
        return None
    name, path = next(iter(loosely.items()))
    return (
        f"{len(loosely)} names are written in another way than the files, such as {name!r} for {path}: matched, since "
        "only one file can be meant"
    )
