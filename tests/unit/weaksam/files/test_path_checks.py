"""Names that no file system takes are asked for like any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from weaksam.files.path_checks import is_dir, is_file
from weaksam.files.tag_files import sidecar_of

LONGEST_NAME = 255


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "file/below"])
def test_nothing_lies_at_a_name_that_cannot_be(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    assert (is_file(tmp_path / name), is_dir(tmp_path / name)) == (False, False)


def test_an_image_of_the_longest_name_has_the_sidecar_that_fits(tmp_path: Path) -> None:
    image = tmp_path / f"{'x' * (LONGEST_NAME - 4)}.jpg"
    image.write_text("")
    assert sidecar_of(image) is None
    image.with_suffix(".txt").write_text("bolt")
    assert sidecar_of(image) == image.with_suffix(".txt")
