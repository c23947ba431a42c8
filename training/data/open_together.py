"""Open several data sets as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from models.labels import Label, LabelSet
from training.data.checks import distinct_labels
from training.data.open_dataset import open_dataset
from training.data.tagged import DataProblem, TaggedDataset, TaggedImage
from weaksam.errors import UserError
from weaksam.tag_texts import fold_label


@dataclass(frozen=True)
class OpenedData:
    """Images of several data sets, the union of their labels, and what the readers found wrong or put right."""

    images: list[TaggedImage]
    labels: LabelSet
    problems: tuple[DataProblem, ...]
    notes: tuple[str, ...]


def open_together(folders: Sequence[Path], split: str) -> OpenedData:
    """Open one split of several data sets, as `open_splits` does."""
    return open_splits([(folder, split) for folder in folders])


def open_splits(parts: Sequence[tuple[Path, str]], background: Sequence[str] = ()) -> OpenedData:
    """Open each folder's split. Labels come in order of first appearance.

    Args:
        parts: folders and splits.
        background: labels that say "none of the classes": they are no labels, their images are negatives.

    Raises:
        UserError: no usable image with a tag is left, or a name in `background` is no label.
    """
    data_sets = [open_dataset(folder, split) for folder, split in parts]
    _check_background(background, data_sets)
    data_sets = [without_background(data_set, background) for data_set in data_sets]
    images = [image for data_set in data_sets for image in data_set.images]
    if not any(image.tags for image in images):
        places = ", ".join(f"{folder} (split {split})" for folder, split in parts)
        raise UserError(f"data: no usable image with tags in {places}{_first_reason(data_sets)}")
    names = distinct_labels(name for data_set in data_sets for name in data_set.labels)
    labels = LabelSet(tuple(map(Label, names)))
    problems = tuple(problem for data_set in data_sets for problem in data_set.problems)
    return OpenedData(images, labels, problems, tuple(note for data_set in data_sets for note in data_set.notes))


def with_learnt_labels(validation: OpenedData, labels: LabelSet) -> OpenedData:
    """Return validation images without the tags and objects of classes that no training image teaches.

    Each such class is one more problem, which names its first image.

    Args:
        validation: what is held out.
        labels: of the training images.

    Raises:
        UserError: no image has a tag that is learnt.
    """
    uses: dict[str, list[TaggedImage]] = {}
    for image in validation.images:
        for name in dict.fromkeys([*image.tags, *(thing.label for thing in image.objects)]):
            if labels.index(name) is None:
                uses.setdefault(name, []).append(image)
    problems = tuple(_not_learnt(name, images, labels) for name, images in uses.items())
    images = [_keeping(image, lambda name: name not in uses) for image in validation.images]
    if not any(image.tags for image in images):
        raise UserError(
            f"data: no validation image has a tag that is learnt. {problems[0].file}: {problems[0].message}"
        )
    return OpenedData(images, labels, (*validation.problems, *problems), validation.notes)


def _first_reason(data_sets: Sequence[TaggedDataset]) -> str:
    """Return why an image was left out; where nothing was, there are too few images for this split."""
    problem = next((problem for data_set in data_sets for problem in data_set.problems), None)
    return (
        ": give more images with tags"
        if problem is None
        else f"; the first reason is {problem.file}: {problem.message}"
    )


def _not_learnt(name: str, images: Sequence[TaggedImage], labels: LabelSet) -> DataProblem:
    message = (
        f"class {name!r} is not learnt, since the training images do not have it (nearest: "
        f"{', '.join(labels.nearest(name))}); left out of {len(images)} validation images. Add training images of it, "
        "or correct its spelling"
    )
    return DataProblem(str(images[0].path), "tags", message)


def without_background(data_set: TaggedDataset, background: Sequence[str]) -> TaggedDataset:
    """Return the data set without the labels in `background`; images that have no other tag become negatives."""
    names = {fold_label(name) for name in background}

    def is_kept(label: str) -> bool:
        return fold_label(label) not in names

    images = tuple(_keeping(image, is_kept) for image in data_set.images)
    return replace(data_set, labels=tuple(filter(is_kept, data_set.labels)), images=images)


def _keeping(image: TaggedImage, is_kept: Callable[[str], bool]) -> TaggedImage:
    objects = tuple(thing for thing in image.objects if is_kept(thing.label))
    return replace(image, tags=tuple(filter(is_kept, image.tags)), objects=objects)


def _check_background(background: Sequence[str], data_sets: Sequence[TaggedDataset]) -> None:
    labels = {fold_label(label): label for data_set in data_sets for label in data_set.labels}
    missing = [name for name in background if fold_label(name) not in labels]
    if missing:
        known = ", ".join(labels.values())
        raise UserError(f"data.background: {', '.join(missing)} is no label of the data sets, which have {known}")
