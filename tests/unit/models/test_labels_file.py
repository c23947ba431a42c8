"""The class list beside a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.labels import Label, LabelSet
from models.labels_file import read_labels, write_labels
from weaksam.errors import UserError


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    labels = LabelSet((Label("Wrench", ("spanner",)), Label("Nut")))
    write_labels(labels, tmp_path / "labels.json")
    assert read_labels(tmp_path / "labels.json") == labels


@pytest.mark.parametrize("content", [[1], {"name": "Nut"}, [{"name": 3}], [{"aliases": []}], "Nut"], ids=str)
def test_another_file_is_named(tmp_path: Path, content: object) -> None:
    (tmp_path / "labels.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"labels\.json: .+: put back the file"):
        read_labels(tmp_path / "labels.json")
