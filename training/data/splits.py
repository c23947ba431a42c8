"""`val` and `fit`: validation images cut from the training split if a data set has none of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from training.data.tagged import TaggedDataset
from weaksam.errors import UserError
from weaksam.validation_images import val_ids

SPLITS = {"train", "val", "test"}
# How other tools call a split.
SPLIT_NAMES = {"valid": "val", "validation": "val", "dev": "val", "training": "train", "testing": "test"}


def split_of_name(name: str) -> str:
    """Return what a folder or file of this name holds: `valid` is `val`."""
    return SPLIT_NAMES.get(name.lower(), name)


def read_split(
    root_name: str, split: str, names: Collection[str], read: Callable[[str], TaggedDataset]
) -> TaggedDataset:
    """Read one split; `val` and `fit` are cut from `train` if the data set has no `val` of its own.

    Args:
        root_name: of the data set, for messages and names.
        split: what is asked for.
        names: the splits that there are.
        read: reads one of them.

    Raises:
        UserError: there is no such split; the message names those there are.
    """
    if split in names:
        return read(split)
    if split not in ("val", "fit") or "train" not in names:
        raise UserError(f"split: {root_name} has no {split!r}; it has {', '.join(sorted(names)) or 'no splits'}")
    train = read("train")
    if "val" in names:  # `fit` beside validation images of the data set's own
        return train
    test = read("test").images if "test" in names else ()
    held_out = val_ids({image.id: image.tags for image in train.images}, {image.id: image.tags for image in test})
    images = tuple(image for image in train.images if (image.id in held_out) == (split == "val"))
    return replace(train, name=f"{root_name}/{split}", images=images)
