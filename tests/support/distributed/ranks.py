"""Run a module of ours on several ranks of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]


def run_on_ranks(ranks: int, module: str, *arguments: object) -> None:
    """`python -m MODULE` alone, or by torchrun on ``ranks`` processes; all of it on the CPU."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)] if ranks > 1 else []
    command = [sys.executable, *launcher, "-m", module, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    ended = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False, timeout=1200
    )
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
