"""The class list as a JSON file, as it lies beside a checkpoint."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from models.labels import Label, LabelSet
from weaksam.errors import UserError
from weaksam.files.atomic import read_json, write_json
from weaksam.findings import first_fault

_ROWS = TypeAdapter(tuple[Label, ...])


def write_labels(labels: LabelSet, path: Path) -> None:
    write_json(path, [asdict(label) for label in labels])


def read_labels(path: Path) -> LabelSet:
    """Return what `write_labels` wrote.

    Raises:
        UserError: the file is damaged, or holds something else.
    """
    try:
        return LabelSet(_ROWS.validate_python(read_json(path)))
    except ValidationError as error:
        told = first_fault(error).sentence("the file")
        raise UserError(f"{path}: {told}: put back the file that the training wrote") from error
