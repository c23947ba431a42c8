"""`weaksam serve` in a process of its own, and what its metrics say."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.bench.images import Sample
from tests.support.servers.free_port import free_port

REPOSITORY = Path(__file__).resolve().parents[3]
START_TIMEOUT_S = 120.0
RESPONSE_TIMEOUT_S = 300.0
PORT = "{port}"
PROMPTS_METRIC = "weaksam_prompts_total"


@dataclass(frozen=True)
class Started:
    """A server in a process of its own, with a client that keeps one connection to it."""

    url: str
    client: httpx.Client
    pid: int

    def resident_bytes(self) -> int:
        """Return the server's memory that is not swapped out, as Linux counts it."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def served(bundle_dir: Path, threads: int) -> Iterator[httpx.Client]:
    """Yield a client of a server on a free port; raise RuntimeError if the server does not start."""
    with started(bundle_dir, threads) as server:
        yield server.client


@contextmanager
def started(bundle_dir: Path, threads: int, *options: str) -> Iterator[Started]:
    """Yield a server with further options of `weaksam serve`; raise RuntimeError if it does not start."""
    command = [sys.executable, "-m", "weaksam", "serve", "--port", PORT, "--bundle", str(bundle_dir.resolve())]
    command += ["--intra-op-threads", str(threads), "--deadline-s", str(RESPONSE_TIMEOUT_S), "--log-level", "warning"]
    with started_by([*command, *options]) as server:
        yield server


@contextmanager
def started_by(command: Sequence[str]) -> Iterator[Started]:
    """Yield the server that a command starts, which holds `PORT` in place of a free port."""
    port = str(free_port())
    url = f"http://127.0.0.1:{port}"
    arguments = [port if word == PORT else word for word in command]
    with tempfile.TemporaryFile() as log, httpx.Client(base_url=url, timeout=RESPONSE_TIMEOUT_S) as client:
        process = subprocess.Popen(arguments, cwd=REPOSITORY, stdout=log, stderr=log, env=_environment())
        try:
            if not _becomes_ready(client, process):
                log.seek(0)
                raise RuntimeError(f"the server did not start: {log.read().decode(errors='replace')[-2000:]}")
            yield Started(url, client, process.pid)
        finally:
            process.terminate()
            process.wait()


def post_detect(client: httpx.Client, sample: Sample, tags: tuple[str, ...]) -> tuple[float, dict[str, Any]]:
    """Return the seconds from sending to the last byte of the response, and the result."""
    fields = {"tags": ",".join(tags), "unknown_tags": "skip"}
    started_s = time.perf_counter()
    response = client.post("/detect", files={"image": ("image.jpg", sample.data, "image/jpeg")}, data=fields)
    seconds = time.perf_counter() - started_s
    response.raise_for_status()
    result: dict[str, Any] = response.json()
    return seconds, result


def read_counters(client: httpx.Client) -> dict[str, float]:
    """Return counts so far: `cam` and `sam_encoder` runs over an image, and `prompts` decoded."""
    counts: dict[str, float] = {"cam": 0.0, "sam_encoder": 0.0}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            if sample.name == "weaksam_encodes_total":
                counts[sample.labels["model"]] = sample.value
            elif sample.name == PROMPTS_METRIC:
                counts["prompts"] = sample.value
    return counts


def _becomes_ready(client: httpx.Client, process: subprocess.Popen[bytes]) -> bool:
    give_up_s = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < give_up_s:
        try:
            if client.get("/readyz").is_success:
                return True
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    return False


def _environment() -> dict[str, str]:
    """Return the environment without WEAKSAM_* settings, which would change what is measured."""
    return {name: value for name, value in os.environ.items() if not name.startswith("WEAKSAM_")}
