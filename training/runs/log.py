"""The log of a training: JSON lines and TensorBoard."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from training.runs.ranks import is_first_rank
from weaksam.files.atomic import write_text
from weaksam.files.damaged import naming_damage


class JsonlLog:
    """One JSON object a line, appended and closed each time, so that a killed run keeps its history.

    Numbers of a step go to TensorBoard as well, into a folder ``tensorboard`` beside the file. Only the first rank
    writes. What a killed run logged after its last checkpoint goes: those steps come again.

    Args:
        path: of the file.
        done: number of finished steps that the training goes on from.
    """

    def __init__(self, path: Path, done: int = 0) -> None:
        self._path = path
        self._started_s = time.monotonic()
        self._board: SummaryWriter | None = None
        if is_first_rank():
            _keep_rows_before(path, done)
            self._board = SummaryWriter(str(path.parent / "tensorboard"), purge_step=done or None)

    def write(self, step: int, **values: Any) -> None:
        """Append a step's values."""
        if self._board is None:
            return
        for name, value in values.items():
            if isinstance(value, int | float):
                self._board.add_scalar(name, value, step)
        self._board.flush()  # or a kill would lose the last minutes
        rounded = {name: round(value, 5) if isinstance(value, float) else value for name, value in values.items()}
        elapsed_s = round(time.monotonic() - self._started_s, 1)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **rounded, "elapsed_s": elapsed_s}) + "\n")


def _keep_rows_before(path: Path, done: int) -> None:
    """Leave out the rows of later steps, and a last line that a kill has torn."""
    if not path.is_file():
        return
    whole = path.read_text(encoding="utf-8").rpartition("\n")[0].splitlines()
    with naming_damage(path):
        kept = [line for line in whole if json.loads(line)["step"] < done]
    write_text(path, "".join(f"{line}\n" for line in kept))
