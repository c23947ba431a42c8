"""A real Prometheus over the repository's own configuration, and the queries of its dashboards."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.conftest import REPOSITORY
from tests.support.servers.free_port import free_port

MONITORING = REPOSITORY / "deploy" / "monitoring"
PATIENCE_S = 120.0
SCRAPE_INTERVAL = "500ms"
# What Grafana would put in its place at four scrapes; wide, since a busy machine may miss some.
RATE_INTERVAL = "1m"


class PrometheusServer:
    """A running Prometheus, asked over its HTTP API."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Rows of an instant query. AssertionError with Prometheus' own words if it is refused."""
        answer = self._client.get("/api/v1/query", params={"query": expression})
        assert answer.is_success, f"{expression}: {answer.text}"
        rows: list[dict[str, Any]] = answer.json()["data"]["result"]
        return rows

    def value(self, expression: str) -> float:
        """The one value that a query returns."""
        [row] = self.query(expression)
        return float(row["value"][1])

    def wait_for(self, expression: str) -> None:
        """Return when a query has an answer."""
        give_up_s = time.monotonic() + PATIENCE_S
        while not self.query(expression):
            assert time.monotonic() < give_up_s, f"{expression} has no answer after {PATIENCE_S} s"
            time.sleep(0.2)

    def ready(self) -> bool:
        """Whether it answers."""
        try:
            return self._client.get("/-/ready").is_success
        except httpx.TransportError:
            return False


@contextmanager
def running_prometheus(folder: Path, targets: Mapping[str, str]) -> Iterator[PrometheusServer]:
    """Prometheus with the repository's scrape jobs and alerts, each job looking at one address; data in `folder`.

    Skips the test where Prometheus is not installed.
    """
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("there is no prometheus: on Debian, apt-get install prometheus")
    (folder / "prometheus.yml").write_text(yaml.safe_dump(_configuration(targets)), encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    command = [
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://{address}", timeout=PATIENCE_S) as client:
            server = PrometheusServer(client)
            give_up_s = time.monotonic() + PATIENCE_S
            while not server.ready():
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < give_up_s, f"prometheus is not ready after {PATIENCE_S} s"
                time.sleep(0.1)
            yield server
    finally:
        process.terminate()
        process.wait(timeout=60)


def _configuration(targets: Mapping[str, str]) -> dict[str, Any]:
    """The shipped configuration, its names looked up nowhere and its times shortened."""
    config: dict[str, Any] = yaml.safe_load((MONITORING / "prometheus.yml").read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": SCRAPE_INTERVAL, "evaluation_interval": SCRAPE_INTERVAL}
    config["rule_files"] = [str(MONITORING / name) for name in config["rule_files"]]
    jobs = [job for job in config["scrape_configs"] if job["job_name"] in targets]
    assert len(jobs) == len(targets)
    for job in jobs:
        del job["dns_sd_configs"]
        job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
    config["scrape_configs"] = jobs
    return config


def dashboard_queries(name: str) -> dict[str, list[str]]:
    """The queries of each panel of a dashboard, by the panel's title, with Grafana's own variables filled in."""
    path = MONITORING / "grafana" / "dashboards" / f"{name}.json"
    dashboard = json.loads(path.read_text(encoding="utf-8"))
    return {
        panel["title"]: [target["expr"].replace("$__rate_interval", RATE_INTERVAL) for target in panel["targets"]]
        for panel in dashboard["panels"]
    }
