"""The image and the compose file in a real Docker engine: what is in it, who it runs as, and that it answers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.bundle import DEFAULT_BUNDLE
from models.bundle_files.manifest import load_bundle
from service.auth.api_keys import ApiKey, KeyFile, key_sha256, new_key, write_key_file
from tests.support.servers.free_port import free_port

PATIENCE_S = 1800.0
PROJECT = "weaksam-test"
IMAGE = "weaksam-gateway:test"
CPU = ("--profile", "cpu")


class Compose:
    """`docker compose` on the repository's file, as a project of the test's own on a free port."""

    def __init__(self, repository_dir: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._folder = repository_dir
        self._environment = {"GATEWAY_PORT": str(port), "GATEWAY_IMAGE": IMAGE, "WEAKSAM_WORKERS": "1"}

    def run(self, *arguments: str, **environment: str) -> str:
        """Standard output of one command; AssertionError with everything it said if it fails."""
        command = ["docker", "compose", "--project-name", PROJECT, *arguments]
        return output(command, cwd=self._folder, env={**os.environ, **self._environment, **environment})

    def gateway(self) -> dict[str, Any]:
        """What Docker knows of the gateway's container."""
        container = self.run(*CPU, "ps", "--quiet", "--all", "gateway-cpu").strip()
        found: dict[str, Any] = json.loads(output(["docker", "inspect", container]))[0]
        return found

    def detect(self, picture: Path, **headers: str) -> httpx.Response:
        """POST /detect through the published port."""
        form = {"tags": "fuel cap,wire"}
        with picture.open("rb") as image:
            return httpx.post(f"{self.url}/detect", files={"image": image}, data=form, headers=headers, timeout=60)


def output(command: list[str], cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    ended = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert ended.returncode == 0, f"{' '.join(command)}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def wait_until_healthy(compose: Compose, restarts: int) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while True:
        found = compose.gateway()
        if found["RestartCount"] >= restarts and found["State"].get("Health", {}).get("Status") == "healthy":
            return
        assert time.monotonic() < give_up_s, f"not healthy after {PATIENCE_S} s: {found['State']}"
        time.sleep(1)


@pytest.fixture(scope="module")
def compose(repository_dir: Path) -> Iterator[Compose]:
    """Compose with the image built; skips where there is no engine. Removes what the tests leave."""
    for part in (["info"], ["compose", "version"]):
        if (
            shutil.which("docker") is None
            or subprocess.run(["docker", *part], capture_output=True, check=False).returncode
        ):
            pytest.skip(f"`docker {' '.join(part)}` does not answer: there is no engine, or no compose")
    made = Compose(repository_dir)
    made.run(*CPU, "build", "--quiet")
    try:
        yield made
    finally:
        made.run(*CPU, "down", "--volumes", "--timeout", "10")


@pytest.fixture
def up(compose: Compose) -> Iterator[Compose]:
    """The cpu profile, healthy."""
    compose.run(*CPU, "up", "--detach", "--wait")
    yield compose
    compose.run(*CPU, "down", "--timeout", "60")


def in_image(*command: str) -> str:
    locked = ["--read-only", "--cap-drop", "ALL", "--network", "none", "--tmpfs", "/tmp"]
    return output(["docker", "run", "--rm", *locked, "--entrypoint", command[0], IMAGE, *command[1:]])


def test_the_gateways_image_holds_no_torch_and_no_root(compose: Compose) -> None:
    code = (
        "import importlib.metadata as m, json, os;"
        "print(json.dumps([os.getuid(), sorted(d.name.lower() for d in m.distributions())]))"
    )
    user_id, installed = json.loads(in_image("python", "-c", code))
    assert user_id == 10001
    assert {"weaksam-serving", "onnxruntime", "tritonclient"} <= set(installed)
    assert not {"torch", "torchvision", "timm", "lightning-fabric", "segment-anything", "onnx"} & set(installed)
    assert in_image("find", "/opt", "/usr", "-name", "libtorch*") == ""


def test_the_gateways_image_writes_a_model_repository(compose: Compose) -> None:
    written = in_image("sh", "-c", "weaksam triton --out /tmp/models --platform ort-trt && find /tmp/models -type f")
    files = {line.removeprefix("/tmp/models/") for line in written.splitlines()[1:]}
    graphs = load_bundle(DEFAULT_BUNDLE).graphs
    assert files >= {f"{graph}/config.pbtxt" for graph in graphs}
    assert sum(name.endswith("/model.onnx") for name in files) == len(graphs)


PROFILES = {
    "as .env says": ((), {"gateway", "model-repository", "triton", "prometheus", "grafana"}),
    "cpu": (CPU, {"gateway-cpu"}),
    "cpu and monitoring": ((*CPU, "--profile", "monitoring"), {"gateway-cpu", "prometheus", "grafana"}),
}


@pytest.mark.parametrize(("profiles", "expected"), PROFILES.values(), ids=list(PROFILES))
def test_each_profile_has_its_services_and_all_are_locked(
    compose: Compose, profiles: tuple[str, ...], expected: set[str]
) -> None:
    config = json.loads(compose.run(*profiles, "config", "--format", "json"))
    assert set(config["services"]) == expected
    for service in config["services"].values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"])
        assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", []))
    for volume in (volume for service in config["services"].values() for volume in service.get("volumes", [])):
        assert volume["type"] == "volume" or Path(volume["source"]).exists()


def test_the_cpu_profile_answers_survives_and_goes(up: Compose, repository_dir: Path) -> None:
    answer = up.detect(repository_dir / "samples" / "runway.jpg")
    assert answer.status_code == 200, answer.text
    assert [row["label"] for row in answer.json()["tags"]] == ["FuelCap", "Wire"]
    assert answer.json()["detections"]

    found = up.gateway()
    assert found["HostConfig"]["ReadonlyRootfs"]
    assert found["HostConfig"]["CapDrop"] == ["ALL"]
    assert found["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true"]
    assert found["HostConfig"]["Memory"] == 2 * 2**30
    write = ["exec", "-T", "gateway-cpu", "sh", "-c", "touch /opt/weaksam/x 2>&1 || id -u"]
    assert up.run(*CPU, *write).splitlines() == [
        "touch: cannot touch '/opt/weaksam/x': Read-only file system",
        "10001",
    ]

    # From outside, as the kernel does when memory runs out; `docker kill` counts as an order to stop.
    os.kill(found["State"]["Pid"], signal.SIGKILL)
    wait_until_healthy(up, restarts=1)
    assert up.detect(repository_dir / "samples" / "runway.jpg").status_code == 200

    up.run(*CPU, "stop", "--timeout", "60")
    assert up.gateway()["State"]["ExitCode"] == 0, "SIGTERM ends it in order"
    up.run(*CPU, "down")
    assert output(["docker", "ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={PROJECT}"]) == ""


def test_keys_come_from_a_file(compose: Compose, repository_dir: Path, tmp_path: Path) -> None:
    key = new_key()
    path = tmp_path / "keys.json"
    write_key_file(path, KeyFile(keys=(ApiKey(name="line-1", sha256=key_sha256(key)),)))
    path.chmod(0o444)
    with_keys = ("--file", "docker-compose.yml", "--file", "deploy/compose/keys.yml", *CPU)
    compose.run(*with_keys, "up", "--detach", "--wait", API_KEYS_FILE=str(path))
    picture = repository_dir / "samples" / "runway.jpg"
    try:
        assert compose.detect(picture).status_code == 401
        assert compose.detect(picture, Authorization=f"Bearer {key}").status_code == 200
        assert "weaksam_requests_total" in httpx.get(f"{compose.url}/metrics").text
    finally:
        compose.run(*with_keys, "down", "--timeout", "60", API_KEYS_FILE=str(path))
