"""The folder of a training: names of its files, and how a finished one is opened.

`training.runs.run_folder` writes it; reports and the export read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.labels import LabelSet
from models.labels_file import read_labels
from weaksam.errors import UserError
from weaksam.files.atomic import read_json

CONFIG = "config.json"
INPUTS = "inputs.json"
ENVIRONMENT = "environment.json"
LABELS = "labels.json"
LOG = "log.jsonl"
REPORT = "report.json"
RESUME = "resume.pt"
THRESHOLDS = "thresholds.json"
# The training of a segmenter; all others are named after the bundle's graph that they train.
SAM = "sam"
SAMPLE_IMAGES = "pictures.npy"  # the export compares the traced detector with torch on them


def weights_file(name: str) -> str:
    """Return the name of the file with the weights of ``weaksam train NAME``."""
    return f"{name}.safetensors"


class RunError(UserError):
    """A run's folder that lacks a file; the message names it and the command that makes it."""


@dataclass(frozen=True)
class Run:
    """A finished training.

    Attributes:
        folder: its folder.
        checkpoint: its weights, ``NAME.safetensors``.
        config: its settings as plain values.
    """

    folder: Path
    checkpoint: Path
    config: dict[str, Any]

    @property
    def labels(self) -> LabelSet:
        """The classes, in the order of the network's outputs; raises RunError if they are missing."""
        return read_labels(self._existing(LABELS))

    @property
    def thresholds(self) -> dict[str, list[float]]:
        """Score thresholds by their name, one for each class; raises RunError if they are missing."""
        values: dict[str, list[float]] = read_json(self._existing(THRESHOLDS))
        return values

    def records(self) -> dict[str, Any]:
        """Return what the run says of its environment and its quality, as far as it says anything."""
        paths = [self.folder / name for name in (ENVIRONMENT, REPORT)]
        return {path.stem: read_json(path) for path in paths if path.is_file()}

    def _existing(self, name: str) -> Path:
        return _require(self.folder / name, self.checkpoint.stem)


def open_run(folder: Path, name: str) -> Run:
    """Open the folder of a finished ``weaksam train NAME``; raises RunError if weights or settings are missing."""
    checkpoint = _require(folder / weights_file(name), name)
    config = read_json(_require(folder / CONFIG, name))
    return Run(folder, checkpoint, config)


def _require(path: Path, name: str) -> Path:
    if not path.is_file():
        raise RunError(f"{path} does not exist: finish `weaksam train {name}` into {path.parent} first")
    return path
