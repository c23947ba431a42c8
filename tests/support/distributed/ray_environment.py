"""Ray in an environment of its own, `.venv-ray`, which stands on the project's environment: `make ray` installs it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
VENV = REPOSITORY / ".venv-ray"
INSTALLED = VENV / ".installed"
TIMEOUT_S = 300


def label_with_ray(*arguments: str, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `weaksam label-ray` to its end; skip the test if Ray is not installed.

    Args:
        arguments: of the command.
        variables: its whole environment but for the paths.
    """
    if not INSTALLED.is_file():
        pytest.skip("ray is not installed: make ray installs it")
    command = [str(VENV / "bin" / "python"), "-m", "weaksam", "label-ray", *arguments]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(VENV), "PYTHONPATH": str(REPOSITORY), **variables}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S, env=environment)
