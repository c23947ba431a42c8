"""Golden arrays: what a stage gave when somebody last looked at it and found it right."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

FOLDER = Path(__file__).resolve().parent / "data"
ACCEPT = "GOLDEN_ACCEPT"


def assert_golden(name: str, arrays: Mapping[str, npt.NDArray[np.generic]], *, tolerance: float) -> None:
    """Compare the arrays of a stage with those kept under its name; each may differ by ``tolerance``.

    With ``GOLDEN_ACCEPT=1`` in the environment they are kept as the new ones instead.
    """
    path = FOLDER / f"{name}.npz"
    if os.environ.get(ACCEPT) == "1":
        FOLDER.mkdir(exist_ok=True)
        np.savez_compressed(path, allow_pickle=False, **dict(arrays))
        return
    remedy = f"if the new values are right, keep them: {ACCEPT}=1 pytest tests/golden"
    assert path.is_file(), f"{path.name} is missing; {remedy}"
    with np.load(path) as kept:
        assert set(kept.files) == set(arrays), f"{name} has other parts than {sorted(kept.files)}; {remedy}"
        for part, array in arrays.items():
            difference = _largest_difference(kept[part], array)
            assert difference <= tolerance, f"{name}: {part} differs by {difference:.3g}; {remedy}"


def _largest_difference(kept: npt.NDArray[np.generic], array: npt.NDArray[np.generic]) -> float:
    if kept.shape != array.shape:
        return float("inf")
    return float(np.abs(kept.astype(np.float64) - array.astype(np.float64)).max(initial=0.0))
