"""Open a data set of any layout this package reads."""

from __future__ import annotations

from pathlib import Path

from training.data.coco import is_coco, read_coco
from training.data.folder import read_folder
from training.data.splits import val_ids
from training.data.tagged import TaggedDataset
from training.data.voc import is_voc, read_voc


def open_dataset(root: Path, split: str) -> TaggedDataset:
    """Open the split `train`, `val`, `fit` or `test` of the data set at `root`, whose layout decides the reader.

    COCO (annotations/instances_*.json) goes before VOC (Annotations, ImageSets/Main), a folder that has both reads
    faster as COCO; anything else is a plain folder, which is one training split. If a data set has no `val` of its
    own, `val` and `fit` are cut from `train` as `training.data.splits` says.

    Raises:
        ValueError: there is no such folder or split.
    """
    if not root.is_dir():
        raise ValueError(f"data: {root} is not a folder; give the folder that holds the data set")
    if is_coco(root):
        return read_coco(root, split)
    if is_voc(root):
        return read_voc(root, split)
    return _folder_split(root, split)


def _folder_split(root: Path, split: str) -> TaggedDataset:
    if split not in ("train", "val", "fit"):
        raise ValueError(
            f"split: {root} is a plain folder, which has train, val and fit, not {split!r}; give a VOC or COCO layout "
            "for it, or train without it (--set data.test=none)"
        )
    whole = read_folder(root)
    if split == "train":
        return whole
    held_out = val_ids({image.id: image.tags for image in whole.images}, {})
    images = tuple(image for image in whole.images if (image.id in held_out) == (split == "val"))
    return TaggedDataset(f"{whole.name}/{split}", whole.labels, images, whole.problems)
