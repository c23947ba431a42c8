"""Labelling tools in an environment of their own, which stands on the project's: `make tools` installs it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
VENV = REPOSITORY / ".venv-tools"
TIMEOUT_S = 300


def run_in_tools(program: str, work: dict[str, Any], home: Path) -> Any:
    """Run a program of this folder among the tools; skip the test if they are not installed.

    Args:
        program: file name; it reads JSON from stdin and writes JSON to stdout.
        work: what it reads.
        home: a folder in which the tools may make their settings.
    """
    if not (VENV / ".installed").is_file():
        pytest.skip("the labelling tools are not installed: make tools installs them")
    command = [str(VENV / "bin" / "python"), str(Path(__file__).with_name(program))]
    variables = {"PATH": "/usr/bin:/bin", "HOME": str(home), "QT_QPA_PLATFORM": "offscreen"}
    ended = subprocess.run(
        command, input=json.dumps(work), capture_output=True, text=True, check=False, timeout=TIMEOUT_S, env=variables
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def remote_server(url: str, image: Path, calls: Sequence[dict[str, Any]], key: str = "") -> dict[str, Any]:
    """Return what X-AnyLabeling's `RemoteServer` gets for each call.

    Args:
        url: the server's address, as a user writes it into the client's settings.
        calls: see `xanylabeling_client.py`.
        key: an API key.
    """
    work = {"url": url, "key": key, "image": str(image), "calls": list(calls)}
    document: dict[str, Any] = run_in_tools("xanylabeling_client.py", work, image.parent)
    return document
