"""The class list as a JSON file, as it lies beside a checkpoint."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from models.labels import Label, LabelSet
from weaksam.files.atomic import read_json, write_json


def write_labels(labels: LabelSet, path: Path) -> None:
    write_json(path, [asdict(label) for label in labels])


def read_labels(path: Path) -> LabelSet:
    rows = read_json(path)
    return LabelSet(tuple(Label(row["name"], tuple(row["aliases"])) for row in rows))
