"""Cells that no spreadsheet takes for a formula, and that can be read back."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from weaksam.files.csv_cells import path_cell, path_of, text_cell, text_of
from weaksam.tag_texts import split_written_tags

HARMLESS = ("a.jpg", "day 1/=b.jpg", "", "./a.jpg", " a")
RISKY = ("=cmd|' /C calc'!A0", "+1", "-1.jpg", "@SUM(A1)", "\tx", "\rx")


@pytest.mark.parametrize("text", RISKY)
def test_no_cell_begins_as_a_formula(text: str) -> None:
    assert PurePosixPath(path_cell(text)) == PurePosixPath(text), "still the same path"
    assert path_cell(text).startswith("./")
    assert text_cell(text).startswith(" ")
    assert split_written_tags(text_cell(text)) == split_written_tags(text)


@pytest.mark.parametrize("text", HARMLESS)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert path_cell(text) == text_cell(text) == text


@pytest.mark.parametrize("text", [*HARMLESS, *RISKY, " =1", "  =1"])
def test_every_text_is_read_back(text: str) -> None:
    assert path_of(path_cell(text)) == text
    assert text_of(text_cell(text)) == text
