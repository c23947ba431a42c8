"""Aliases from a table that people edit."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.label_aliases import with_aliases
from models.labels import Label, LabelSet
from weaksam.errors import UserError

LABELS = LabelSet((Label("Wrench", ("spanner",)), Label("Nut")))


def table(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "aliases.csv"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "data",
    [
        b"label,alias\nwrench,monkey wrench\nWrench,spanner\nNut,\n\nNut,hex nut\n",
        b"\xef\xbb\xbfAlias;Label;note\r\nmonkey wrench;WRENCH;x\r\nhex nut;nut;\r\n",
        "label\talias\nWrench\tmonkey wrench\nNut\thex nut\n".encode("utf-16"),
    ],
    ids=["commas", "semicolons-with-mark", "tabs-in-utf-16"],
)
def test_rows_add_names_and_keep_those_that_a_label_has(tmp_path: Path, data: bytes) -> None:
    labels = with_aliases(LABELS, table(tmp_path, data))
    assert [label.aliases for label in labels] == [("spanner", "monkey wrench"), ("hex nut",)]
    assert labels.index("Monkey-Wrench") == 0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"label,alias\n\nNut,hex nut\nWrnch,key\n", r"row 4: there is no label 'Wrnch': write one like Wrench"),
        (b"label,name\nNut,hex nut\n", "lacks the column 'alias'"),
        (b"", "lacks the column 'label'"),
        (b"label,alias\nNut,Spanner\n", "'Wrench' and 'Nut' share the spelling 'spanner'"),
        (b"label,alias\nNut,\xe9crou\n", "save it as CSV UTF-8"),
    ],
    ids=["unknown-label", "no-alias-column", "empty", "two-labels", "latin-1"],
)
def test_bad_tables_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        with_aliases(LABELS, table(tmp_path, data))


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.csv cannot be read"):
        with_aliases(LABELS, tmp_path / "absent.csv")
