"""Open a data set of any layout this package reads."""

from __future__ import annotations

from pathlib import Path

from training.data.formats.coco import is_coco, read_coco
from training.data.formats.cvat import is_cvat, read_cvat
from training.data.formats.folder import read_folder
from training.data.formats.foreign import foreign_layout
from training.data.formats.label_studio import is_label_studio, read_label_studio
from training.data.formats.voc import is_voc, read_voc
from training.data.formats.yolo import is_yolo, read_yolo
from training.data.tagged import TaggedDataset
from weaksam.errors import UserError

# A folder that has COCO and VOC files reads faster as COCO; COCO's and VOC's layouts are told by names alone.
LAYOUTS = (
    (is_coco, read_coco),
    (is_voc, read_voc),
    (is_yolo, read_yolo),
    (is_cvat, read_cvat),
    (is_label_studio, read_label_studio),
)


def open_dataset(root: Path, split: str) -> TaggedDataset:
    """Open the split `train`, `val`, `fit` or `test` of the data set at `root`, whose layout decides the reader.

    A folder of none of the layouts is a plain folder. If a data set has no `val` of its own, `val` and `fit` are cut
    from `train` as `weaksam.validation_images` says.

    Raises:
        UserError: there is no such folder or split, or the layout is one that is not read.
    """
    if not root.is_dir():
        raise UserError(f"data: {root} is not a folder; give the folder that holds the data set")
    official = (root / "Annotations").is_dir() or any((root / "annotations").glob("instances_*.json"))
    if (root / "tags.csv").is_file() and not official:  # what a person wrote goes before what a tool left there
        return read_folder(root, split)
    for is_layout, read in LAYOUTS:
        if is_layout(root):
            return read(root, split)
    foreign = foreign_layout(root)
    if foreign is not None:
        raise UserError(f"data: {root} is {foreign}. That is not read: export it as COCO, YOLO or VOC")
    return read_folder(root, split)
