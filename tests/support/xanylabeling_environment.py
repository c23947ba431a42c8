"""X-AnyLabeling in an environment of its own, which stands on the project's: `make xanylabeling` installs it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
VENV = REPOSITORY / ".venv-xanylabeling"
TIMEOUT_S = 120


def remote_server(url: str, image: Path, calls: Sequence[dict[str, Any]], key: str = "") -> dict[str, Any]:
    """Return what the client's `RemoteServer` gets for each call; skip the test if the client is not installed.

    Args:
        url: the server's address, as a user writes it into the client's settings.
        calls: see `xanylabeling_client.py`.
        key: an API key.
    """
    if not (VENV / ".installed").is_file():
        pytest.skip("X-AnyLabeling is not installed: make xanylabeling installs it")
    command = [str(VENV / "bin" / "python"), str(Path(__file__).with_name("xanylabeling_client.py"))]
    # The client makes folders in the user's home.
    variables = {"PATH": "/usr/bin:/bin", "HOME": str(image.parent), "QT_QPA_PLATFORM": "offscreen"}
    work = json.dumps({"url": url, "key": key, "image": str(image), "calls": list(calls)})
    ended = subprocess.run(
        command, input=work, capture_output=True, text=True, check=False, timeout=TIMEOUT_S, env=variables
    )
    assert ended.returncode == 0, ended.stderr
    document: dict[str, Any] = json.loads(ended.stdout)
    return document
