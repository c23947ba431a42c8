"""Checks that all readers share; each adds to the report instead of raising."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from models.labels import Label, LabelSet
from training.data.tagged import DataProblem, TaggedDataset, TaggedImage
from weaksam.errors import UserError
from weaksam.files.text_files import decoded, lines_of
from weaksam.schemas import Box
from weaksam.tag_texts import fold_label

# Shares that are written with few decimals reach over the edge by less than this.
EDGE_TOLERANCE_PX = 0.01
SEPARATORS = " \t,;"


@dataclass
class Report:
    """Collects problems and notes; paths are given relative to the data set's root."""

    root: Path
    problems: list[DataProblem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, file: Path, field_name: str, message: str) -> None:
        name = file.relative_to(self.root).as_posix() if file.is_relative_to(self.root) else str(file)
        self.problems.append(DataProblem(name, field_name, message))

    def dataset(self, name: str, labels: Sequence[str], images: Iterable[TaggedImage]) -> TaggedDataset:
        """Return the data set that was read, with this report."""
        return TaggedDataset(name, tuple(labels), tuple(images), tuple(self.problems), tuple(self.notes))


def checked_box(box_xyxy: Box, size_hw: tuple[int, int], file: Path, field_name: str, report: Report) -> Box | None:
    """Return the box cut to the image, or None if nothing of it lies inside; both are reported."""
    height, width = size_hw
    if not all(math.isfinite(value) for value in box_xyxy):
        report.add(file, field_name, f"box {box_xyxy} is not finite; the object is left out")
        return None
    x0, y0, x1, y1 = box_xyxy
    cut = (max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
    if cut[2] <= cut[0] or cut[3] <= cut[1]:
        report.add(file, field_name, f"box {_text(box_xyxy)} has no area in a {width}x{height} image; left out")
        return None
    if any(abs(a - b) > EDGE_TOLERANCE_PX for a, b in zip(cut, box_xyxy, strict=True)):
        report.add(file, field_name, f"box {_text(box_xyxy)} sticks out of a {width}x{height} image; clipped")
    return cut


@dataclass(frozen=True)
class KnownLabels:
    """Maps a class name as written to the data set's own spelling."""

    labels: LabelSet

    @staticmethod
    def of(names: Sequence[str]) -> KnownLabels:
        return KnownLabels(LabelSet(tuple(Label(name) for name in names)))

    def checked(self, name: str, file: Path, field_name: str, report: Report) -> str | None:
        """Return the label meant by `name`, or None with a report if there is none."""
        index = self.labels.index(name)
        if not name.strip():
            report.add(file, field_name, "there is no class name; left out")
            return None
        if index is None:
            nearest = ", ".join(self.labels.nearest(name))
            report.add(file, field_name, f"class {name!r} is not among the labels (nearest: {nearest}); left out")
            return None
        return self.labels.names[index]


def merged_labels(names: Iterable[str]) -> tuple[str, ...]:
    """Return distinct names in alphabetical order; of spellings that differ in case, spaces, - or _ the first one."""
    spelling: dict[str, str] = {}
    for name in sorted(names):
        spelling.setdefault(fold_label(name), name)
    return tuple(sorted(spelling.values()))


def distinct_labels(names: Iterable[str]) -> tuple[str, ...]:
    """Return distinct names in their order; of spellings that differ in case, spaces, - or _ the first one."""
    spelling: dict[str, str] = {}
    for name in names:
        spelling.setdefault(fold_label(name), name)
    return tuple(spelling.values())


def read_text(path: Path) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 with its mark.

    Raises:
        UserError: it is in another encoding, so that names in it would be read as others.
    """
    try:
        return decoded(path.read_bytes())
    except UnicodeDecodeError as error:
        raise UserError(f"{path} cannot be read as UTF-8 ({error}): save it as UTF-8") from error


def read_lines(path: Path) -> list[str]:
    """Return the non-empty lines without surrounding space; raises UserError as `read_text` does."""
    return [line.strip() for line in lines_of(read_text(path)) if line.strip()]


def read_names(path: Path) -> list[str]:
    """Return the class names of a list, one a line; empty lines too, since classes may be numbered by their line.

    Separators at the end of a line, which tables leave there, are no part of a name.
    """
    return [line.strip().strip(SEPARATORS) for line in lines_of(read_text(path))]


def read_labels_txt(root: Path) -> tuple[str, ...] | None:
    """Return names from ROOT/labels.txt in file order, or None if it is missing or empty. Doubles are dropped."""
    path = root / "labels.txt"
    return distinct_labels(filter(None, read_names(path))) or None if path.is_file() else None


def _text(box_xyxy: Box) -> str:
    return "[" + ", ".join(f"{value:g}" for value in box_xyxy) + "]"
