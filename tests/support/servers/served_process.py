"""A service in a process of its own, as `weaksam serve` starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.bundles.service_parts import PATIENCE_S


@dataclass
class Process:
    """A service of its own and the log that it writes."""

    popen: subprocess.Popen[bytes]
    log: Path

    def rows(self) -> list[dict[str, Any]]:
        whole = self.log.read_bytes().rpartition(b"\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def answered(self) -> dict[str, int]:
        """Status by request id of every POST /detect that the service has seen to its end."""
        return {row["request_id"]: row["status"] for row in self.rows() if row.get("path") == "/detect"}

    def wait_for_message(self, words: str) -> str:
        give_up_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up_s:
            assert self.popen.poll() is None, self.log.read_text()
            for row in self.rows():
                if words in row["message"]:
                    return str(row["message"])
            time.sleep(0.05)
        raise AssertionError(f"the service does not say {words!r}")

    def url(self) -> str:
        return self.wait_for_message("listening on").split()[2].rstrip(",")

    def wait_until_ready(self) -> str:
        url, give_up_s = self.url(), time.monotonic() + PATIENCE_S
        while httpx.get(f"{url}/readyz", timeout=PATIENCE_S).status_code != 200:
            assert time.monotonic() < give_up_s
            time.sleep(0.05)
        return url


@contextmanager
def served(bundle: Path, log: Path, **environment: str) -> Iterator[Process]:
    """Serve a bundle as `weaksam serve` does; `environment` are settings without their prefix."""
    given = {"BUNDLE": str(bundle), "PORT": "0", "INTRA_OP_THREADS": "1", "CACHE_BYTES": "0", **environment}
    root = Path(__file__).resolve().parents[3]
    variables = {**os.environ, **{f"WEAKSAM_{name}": value for name, value in given.items()}}
    with log.open("wb") as file:
        popen = subprocess.Popen([sys.executable, "-m", "weaksam", "serve"], cwd=root, env=variables, stderr=file)
        try:
            yield Process(popen, log)
        finally:
            popen.kill()
            popen.wait()
