"""Writes the folder of a training, and refuses one that holds another training. `models.run_folder` opens it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.config import config_values
from models.labels import LabelSet
from models.labels_file import write_labels
from models.run_folder import CONFIG, ENVIRONMENT, INPUTS, LABELS, RESUME
from training.runs.environment import environment
from training.runs.ranks import is_first_rank
from training.runs.stage import WITHOUT_EFFECT, digest_of, settings_values
from weaksam.errors import UserError
from weaksam.files.atomic import read_json, remove_drafts, write_json

START_ANEW = f"give another --out, or remove its {RESUME} to start anew"
SETTINGS = "settings"


def prepare_run(
    config: Any, out_dir: Path, inputs: Mapping[str, str] | None = None, labels: LabelSet | None = None
) -> None:
    """Make a run's folder with its settings, digests of its inputs, its environment and its classes.

    Only the first rank writes.

    Args:
        config: a dataclass of settings.
        out_dir: the folder.
        inputs: digests of what the run is given, by name.
        labels: classes, in the order of the network's outputs.

    Raises:
        UserError: the folder holds a checkpoint of other settings or inputs, which would go on under these.
    """
    if not is_first_rank():
        return
    out_dir.mkdir(parents=True, exist_ok=True)
    remove_drafts(out_dir)
    digests = {SETTINGS: digest_of(settings_values(config)), **(inputs or {})}
    if (out_dir / RESUME).is_file():
        _require_same_run(config_values(config), digests, out_dir)
    write_json(out_dir / CONFIG, config_values(config))
    write_json(out_dir / INPUTS, digests)
    write_json(out_dir / ENVIRONMENT, environment())
    if labels is not None:
        write_labels(labels, out_dir / LABELS)


def _require_same_run(settings: dict[str, Any], digests: dict[str, str], out_dir: Path) -> None:
    before = _recorded(out_dir / INPUTS, digests)
    if before.get(SETTINGS) != digests[SETTINGS]:
        _require_same_settings(settings, out_dir)
    for name, digest in digests.items():
        if {SETTINGS: digests[SETTINGS], **before}.get(name) != digest:
            raise UserError(f"{out_dir} holds a run whose {name} were others: {START_ANEW}")


def _require_same_settings(settings: dict[str, Any], out_dir: Path) -> None:
    before = _recorded(out_dir / CONFIG, settings)
    for name in sorted((before.keys() | settings.keys()) - set(WITHOUT_EFFECT)):
        if before.get(name) != settings.get(name):
            raise UserError(
                f"{out_dir} holds a run whose {name} was {before.get(name)!r}, and not {settings.get(name)!r}: "
                f"{START_ANEW}"
            )


def _recorded(path: Path, otherwise: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what an earlier start wrote down; runs of earlier versions did not write all files."""
    recorded: Mapping[str, Any] = read_json(path) if path.is_file() else otherwise
    return recorded
