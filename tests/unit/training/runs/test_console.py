"""What a terminal shows when a training speaks while a progress bar stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

SPEAKS = """
from training.runs.console import console
from training.runs.ranks import track_first
for step in track_first(range(3), "compact SAM"):
    console.print(f"wrote {step}")
"""
ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


def test_a_message_has_a_line_of_its_own_while_a_bar_stands(repository_dir: Path) -> None:
    ours, terminal = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    with os.fdopen(ours, "rb", buffering=0) as screen:
        command = [sys.executable, "-c", SPEAKS]
        subprocess.run(command, cwd=repository_dir, env=environment, stderr=terminal, stdout=terminal, check=True)
        os.close(terminal)
        shown = ESCAPES.sub(b"", screen.read(65536))
    lines = [line.rpartition(b"\r")[2].rstrip() for line in shown.replace(b"\r\n", b"\n").split(b"\n")]
    assert [line for line in lines if b"wrote" in line] == [b"wrote 0", b"wrote 1", b"wrote 2"]
    assert any(b"compact SAM" in line for line in lines), "there was no bar, and nothing was tried"
