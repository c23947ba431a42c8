"""Layouts of other tools that are told by their files, and not read."""

from __future__ import annotations

from pathlib import Path

from training.data.formats.documents import DocumentError, read_xml

# The first of these patterns that is there names the layout.
_FILES = (
    ("*.tfrecord", "a TFRecord export"),
    ("*/*.tfrecord", "a TFRecord export"),
    ("_annotations.createml.json", "a CreateML export"),
    ("*/_annotations.createml.json", "a CreateML export"),
    ("_annotations.csv", "an export of boxes as a CSV"),
    ("*/_annotations.csv", "an export of boxes as a CSV"),
    ("_annotations.txt", "an export for YOLO v3 or v4 in Keras or PyTorch"),
    ("*/_annotations.txt", "an export for YOLO v3 or v4 in Keras or PyTorch"),
    ("labels/**/*.txt", "a YOLO tree without data.yaml or classes.txt"),
    ("obj.data", "a Darknet export (CVAT calls it YOLO 1.1)"),
    ("*/*.parquet", "a data set of Parquet files"),
    ("via_*.json", "a project of the VGG Image Annotator"),
    ("ds*/ann", "a Supervisely project"),
    ("gtFine", "Cityscapes"),
)


def foreign_layout(root: Path) -> str | None:
    """Name the layout of a folder, if it is one that is not read; else return None."""
    by_files = next((name for pattern, name in _FILES if next(root.glob(pattern), None) is not None), None)
    return by_files or ("CVAT's XML of a video" if any(map(_is_cvat_video, root.glob("*.xml"))) else None)


def _is_cvat_video(path: Path) -> bool:
    """Tell if an XML file has tracks over frames, of which no image has a name."""
    try:
        document = read_xml(path)
    except DocumentError:
        return False
    return document.tag == "annotations" and document.find("track") is not None
