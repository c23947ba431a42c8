"""Files that we wrote and a copy has damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from weaksam.errors import UserError
from weaksam.files.damaged import naming_damage, read_arrays


def test_an_archive_of_arrays_comes_back(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", boxes=np.zeros((0, 4)), scores=np.ones(2))
    stored = read_arrays(tmp_path / "a.npz")
    assert [(name, array.shape) for name, array in stored.items()] == [("boxes", (0, 4)), ("scores", (2,))]


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.99])
def test_an_archive_of_arrays_that_was_cut_off_is_named(tmp_path: Path, share: float) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, boxes=np.zeros(100), scores=np.ones(100))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(UserError, match=r"a\.npz is damaged .*: copy it again, or remove it"):
        read_arrays(path)


def test_a_file_that_is_absent_is_not_damaged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), naming_damage(tmp_path / "a.npz"):
        (tmp_path / "a.npz").read_bytes()
