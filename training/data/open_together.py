"""Open several data sets as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.labels import Label, LabelSet, fold_label
from training.data.open_dataset import open_dataset
from training.data.tagged import Problem, TaggedImage


@dataclass(frozen=True)
class OpenedData:
    """Tagged images of several data sets, the union of their labels, and what the readers found wrong."""

    images: list[TaggedImage]
    labels: LabelSet
    problems: tuple[Problem, ...]


def open_together(folders: Sequence[Path], split: str) -> OpenedData:
    """Open one split of several data sets, as `open_splits` does."""
    return open_splits([(folder, split) for folder in folders])


def open_splits(parts: Sequence[tuple[Path, str]]) -> OpenedData:
    """Open each folder's split. Labels come in order of first appearance.

    Raises:
        ValueError: no usable image is left.
    """
    data_sets = [open_dataset(folder, split) for folder, split in parts]
    images = [image for data_set in data_sets for image in data_set.images if image.tags]
    if not images:
        names = ", ".join(f"{folder} (split {split})" for folder, split in parts)
        raise ValueError(f"data: no usable image with tags in {names}")
    spelling: dict[str, str] = {}  # of spellings that differ in case, spaces, - or _ the first one
    for name in (name for data_set in data_sets for name in data_set.labels):
        spelling.setdefault(fold_label(name), name)
    labels = LabelSet(tuple(Label(name) for name in spelling.values()))
    return OpenedData(images, labels, tuple(problem for data_set in data_sets for problem in data_set.problems))
