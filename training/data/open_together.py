"""Open several data sets as one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from models.labels import Label, LabelSet, fold_label
from training.data.open_dataset import open_dataset
from training.data.tagged import TaggedImage
from training.runs.ranks import is_first_rank

console = Console(stderr=True, markup=False)


def open_together(folders: Sequence[Path], split: str) -> tuple[list[TaggedImage], LabelSet]:
    """`open_splits` of one split of several data sets."""
    return open_splits([(folder, split) for folder in folders])


def open_splits(parts: Sequence[tuple[Path, str]]) -> tuple[list[TaggedImage], LabelSet]:
    """The tagged pictures of several data sets and the union of their labels, in order of first appearance.

    Problems that the readers found are printed; raises ValueError where no usable picture is left.
    """
    data_sets = [open_dataset(folder, split) for folder, split in parts]
    for problem in (problem for data_set in data_sets for problem in data_set.problems):
        if is_first_rank():
            console.print(f"{problem.file}: {problem.field}: {problem.message}", style="yellow", highlight=False)
    images = [image for data_set in data_sets for image in data_set.images if image.tags]
    if not images:
        names = ", ".join(f"{folder} (split {split})" for folder, split in parts)
        raise ValueError(f"data: no usable picture with tags in {names}")
    spelling: dict[str, str] = {}  # of spellings that differ in case, spaces, - or _ the first one
    for name in (name for data_set in data_sets for name in data_set.labels):
        spelling.setdefault(fold_label(name), name)
    return images, LabelSet(tuple(Label(name) for name in spelling.values()))
