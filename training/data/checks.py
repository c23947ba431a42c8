"""Checks that all readers share; each adds to the report instead of raising."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from models.image import ImageError, read_image
from models.labels import Label, LabelSet, fold_label
from training.data.image_header import UnusableImageError, upright_size_hw
from training.data.tagged import Problem, TaggedImage

Box = tuple[float, float, float, float]


@dataclass
class Report:
    """Collects problems; paths are given relative to the data set's root."""

    root: Path
    problems: list[Problem] = field(default_factory=list)

    def add(self, file: Path, field_name: str, message: str) -> None:
        name = file.relative_to(self.root).as_posix() if file.is_relative_to(self.root) else str(file)
        self.problems.append(Problem(name, field_name, message))


def usable_size_hw(path: Path, report: Report) -> tuple[int, int] | None:
    """The image's upright size, or None with a report where the file cannot be used."""
    try:
        return upright_size_hw(path)
    except UnusableImageError as error:
        report.add(path, "image", f"{error}; the image is left out")
        return None


def undecodable(images: Iterable[TaggedImage], root: Path) -> list[Problem]:
    """Images whose pixels cannot be decoded: cut short, say, behind a header that reads well.

    Slow, and therefore not part of reading a data set: training stops at such an image and names it.
    """
    report = Report(root)
    for image in images:
        try:
            read_image(image.path)
        except (ImageError, OSError) as error:
            cause = error.__cause__ or error
            report.add(image.path, "image", f"{cause}; training would stop here: replace or remove it")
    return report.problems


def checked_box(box_xyxy: Box, size_hw: tuple[int, int], file: Path, field_name: str, report: Report) -> Box | None:
    """The box cut to the image, or None where nothing of it lies inside; both are reported."""
    height, width = size_hw
    if not all(math.isfinite(value) for value in box_xyxy):
        report.add(file, field_name, f"box {box_xyxy} is not finite; the object is left out")
        return None
    x0, y0, x1, y1 = box_xyxy
    cut = (max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
    if cut[2] <= cut[0] or cut[3] <= cut[1]:
        report.add(file, field_name, f"box {_text(box_xyxy)} has no area in a {width}x{height} image; left out")
        return None
    if cut != box_xyxy:
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
        """The label meant by `name`, or None with a report where there is none."""
        index = self.labels.index(name)
        if index is None:
            nearest = ", ".join(self.labels.nearest(name))
            report.add(file, field_name, f"class {name!r} is not among the labels (nearest: {nearest}); left out")
            return None
        return self.labels.names[index]


def merged_labels(names: Sequence[str]) -> tuple[str, ...]:
    """Distinct names in alphabetical order; of spellings that differ in case, spaces, - or _ the first one."""
    spelling: dict[str, str] = {}
    for name in sorted(names):
        spelling.setdefault(fold_label(name), name)
    return tuple(sorted(spelling.values()))


def read_lines(path: Path) -> list[str]:
    """Non-empty lines without surrounding space; undecodable bytes are replaced."""
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    return [line.strip() for line in lines if line.strip()]


def read_labels_txt(root: Path) -> tuple[str, ...] | None:
    """Names from ROOT/labels.txt in file order, or None where it is missing or empty. Doubles are dropped."""
    path = root / "labels.txt"
    lines = read_lines(path) if path.is_file() else []
    spelling = {fold_label(line): line for line in reversed(lines)}
    return tuple(line for line in dict.fromkeys(lines) if spelling[fold_label(line)] == line) or None


def _text(box_xyxy: Box) -> str:
    return "[" + ", ".join(f"{value:g}" for value in box_xyxy) + "]"
