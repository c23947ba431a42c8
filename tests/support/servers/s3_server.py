"""A real S3 server, moto's, from the environment that `make tools` installs."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.labelling_tools.environment import VENV
from tests.support.servers.free_port import free_port

START_TIMEOUT_S = 60.0


@contextmanager
def s3_server() -> Iterator[str]:
    """Start the server on a free port of this machine and yield its address; skip if it is not installed."""
    if not (VENV / ".installed").is_file():
        pytest.skip("moto is not installed: make tools installs it")
    port = free_port()
    command = [str(VENV / "bin" / "python"), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_until_it_listens(process, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    give_up = time.monotonic() + START_TIMEOUT_S
    while True:
        assert process.poll() is None, "the server ended before it listened"
        assert time.monotonic() < give_up, f"the server does not listen after {START_TIMEOUT_S} s"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
