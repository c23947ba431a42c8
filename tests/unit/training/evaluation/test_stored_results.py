"""Results on disk that a copy has damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.evaluation.stored_results import read_results, write_results
from weaksam.errors import UserError


@pytest.mark.parametrize("kept", [0, 1, 9, 14, -3], ids=["empty", "one byte", "half a header", "cut", "no checksum"])
def test_a_damaged_file_is_named(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "a.json.gz"
    write_results({"tagged": {"detections": []}}, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"a\.json\.gz is damaged .*: copy it again, or remove it"):
        read_results(path)


def test_changed_bytes_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json.gz"
    write_results({"tagged": {"detections": []}}, path)
    data = bytearray(path.read_bytes())
    data[12:16] = b"\xff" * 4
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"a\.json\.gz is damaged"):
        read_results(path)
