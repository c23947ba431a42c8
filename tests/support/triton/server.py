"""A real tritonserver as a process of the tests: started, killed, frozen, and started again on the same ports.

It comes from the package `nvidia-pytriton`, which holds Triton's server with its Python backend. `make triton-server`
installs it into an environment of its own, since its Python backend needs numpy 1.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.servers.free_port import free_port

REPOSITORY = Path(__file__).resolve().parents[3]
VENV = REPOSITORY / ".venv-triton"
INSTALLED = VENV / ".installed"
START_TIMEOUT_S = 240.0
SHARED_MEMORY = Path("/dev/shm")


def require_triton() -> Path:
    """The folder of the server's files; skips the test where it is not installed."""
    found = sorted(VENV.glob("lib/python3.*/site-packages/pytriton/tritonserver"))
    if not INSTALLED.is_file() or not found:
        pytest.skip("there is no tritonserver: make triton-server installs it, if this machine can have it")
    return found[0]


class TritonServer:
    """One tritonserver over a model repository, on ports that stay the same from start to start.

    Attributes:
        grpc_url: where it answers gRPC, as `host:port`.
        http_url: where it answers HTTP, as `http://host:port`.
        metrics_url: its metrics in Prometheus' text format.
    """

    def __init__(self, repository: Path, *arguments: str) -> None:
        self._files = require_triton()
        self._repository = repository
        self._arguments = arguments
        self._ports = {name: free_port() for name in ("grpc", "http", "metrics")}
        self._prefix = f"weaksam-test-{self._ports['grpc']}"
        self._log = repository.with_name(f"{self._prefix}.log")
        self._process: subprocess.Popen[bytes] | None = None
        self.grpc_url = f"127.0.0.1:{self._ports['grpc']}"
        self.http_url = f"http://127.0.0.1:{self._ports['http']}"
        self.metrics_url = f"http://127.0.0.1:{self._ports['metrics']}/metrics"

    def start(self, *, wait: bool = True) -> None:
        """Start it; with `wait`, return when all models are ready. AssertionError with its log if it ends before."""
        assert self._process is None, "this tritonserver runs already"
        _install_stub(self._files)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(), env=_environment(), stdout=log, stderr=log, start_new_session=True
            )
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Return when all models are ready."""
        give_up_s = time.monotonic() + START_TIMEOUT_S
        while not self._answers_ready():
            assert self._process is not None
            assert self._process.poll() is None, f"tritonserver ended at its start:\n{self.log()}"
            assert time.monotonic() < give_up_s, f"tritonserver is not ready after {START_TIMEOUT_S} s:\n{self.log()}"
            time.sleep(0.05)

    def kill(self) -> None:
        """End it at once and without a word to its clients, as a crash would."""
        self._signal(signal.SIGKILL)
        self._reap()

    def stop(self) -> None:
        """End it in order; no error if it does not run."""
        if self._process is None:
            return
        self._signal(signal.SIGCONT)
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(30)
        self._signal(signal.SIGKILL)
        self._reap()

    def freeze(self) -> None:
        """Stop the server where it is (SIGSTOP): connections stay open and nothing answers.

        Its Python backends stay awake: stopped with a lock of the shared memory in hand, one makes the server abort
        after it is thawed.
        """
        assert self._process is not None, "this tritonserver does not run"
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen one go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def log(self) -> str:
        """The end of what it wrote."""
        return self._log.read_text(errors="replace")[-6000:]

    def _signal(self, number: int) -> None:
        assert self._process is not None, "this tritonserver does not run"
        # Its Python backends are processes of the same group, which is its own.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _reap(self) -> None:
        assert self._process is not None
        self._process.wait()
        self._process = None
        # What a killed server cannot give back itself.
        for left in SHARED_MEMORY.glob(f"{self._prefix}*"):
            left.unlink(missing_ok=True)

    def _answers_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.http_url}/v2/health/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _command(self) -> list[str]:
        return [
            str(self._files / "bin" / "tritonserver"),
            f"--model-repository={self._repository}",
            f"--backend-directory={self._files / 'backends'}",
            f"--backend-config=python,shm-region-prefix-name={self._prefix}",
            "--http-address=127.0.0.1",
            "--grpc-address=127.0.0.1",
            f"--grpc-port={self._ports['grpc']}",
            f"--http-port={self._ports['http']}",
            f"--metrics-port={self._ports['metrics']}",
            "--allow-gpu-metrics=false",
            "--exit-timeout-secs=5",
            *self._arguments,
        ]


@contextmanager
def running_triton(repository: Path, *arguments: str) -> Iterator[TritonServer]:
    """A ready tritonserver over a model repository; it is ended in any case, frozen or not."""
    server = TritonServer(repository, *arguments)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _install_stub(files: Path) -> None:
    """Put the helper for this version of Python where the Python backend looks for it."""
    name = "triton_python_backend_stub"
    target = files / "backends" / "python" / name
    source = files / "python_backend_stubs" / ".".join(_venv_setting("version").split(".")[:2]) / name
    if not target.exists():
        draft = target.with_name(f".{name}.{os.getpid()}")
        shutil.copy(source, draft)
        draft.replace(target)


def _venv_setting(name: str) -> str:
    """One line of what `python -m venv` wrote down of the interpreter."""
    lines = (line.partition(" = ") for line in (VENV / "pyvenv.cfg").read_text().splitlines())
    return next(value for key, _, value in lines if key == name)


def _environment() -> dict[str, str]:
    """The server's own Python first on the path, and that interpreter's shared library where the loader finds it."""
    library = Path(_venv_setting("home")).parent / "lib"
    return {
        **os.environ,
        "PATH": f"{VENV / 'bin'}:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": f"{library}:{os.environ.get('LD_LIBRARY_PATH', '')}",
    }
