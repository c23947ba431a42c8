"""A real Label Studio in an environment of its own, `.venv-labelstudio`: `make label-studio` installs it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest

from tests.support.servers.free_port import free_port

REPOSITORY = Path(__file__).resolve().parents[3]
VENV = REPOSITORY / ".venv-labelstudio"
START_TIMEOUT_S = 600
TOKEN = "0123456789012345678901234567890123456789"
EMAIL, PASSWORD = "labeller@example.com", "only-for-the-tests"
VARIABLES = {
    "PATH": "/usr/bin:/bin",
    "LABEL_STUDIO_USERNAME": EMAIL,
    "LABEL_STUDIO_PASSWORD": PASSWORD,
    "LABEL_STUDIO_USER_TOKEN": TOKEN,
    "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
    # Without these it asks PyPI for its newest version, and reports to its makers.
    "LATEST_VERSION_CHECK": "false",
    "COLLECT_ANALYTICS": "false",
    # Our service is on this machine: for its predictions, and for the webhook that comes with every backend.
    "ML_BLOCK_LOCAL_IP": "false",
    "SSRF_PROTECTION_ENABLED": "false",
}
DECODE = """
import json, sys
import numpy as np
from label_studio_sdk.converter.brush import decode_rle
for row in json.load(sys.stdin):
    rgba = np.asarray(decode_rle(row["rle"])).reshape(row["height"], row["width"], 4)
    print(np.packbits(rgba[:, :, 3] > 0).tobytes().hex())
"""
CORNERS = """
import json, sys
from label_studio_sdk.converter.utils import convert_annotation_to_yolo_obb
json.dump([convert_annotation_to_yolo_obb(row, normalize=False) for row in json.load(sys.stdin)], sys.stdout)
"""


@dataclass(frozen=True)
class LabelStudio:
    """A running Label Studio, and a client that is logged in to its API."""

    url: str
    api: httpx.Client

    def post(self, path: str, document: Any) -> Any:
        """Return what the API responds to a JSON document."""
        response = self.api.post(path, json=document)
        assert response.is_success, f"{path}: {response.status_code} {response.text[:1000]}"
        return response.json()

    def get(self, path: str) -> Any:
        """Return the document at a path of the API."""
        response = self.api.get(path)
        assert response.is_success, f"{path}: {response.status_code} {response.text[:1000]}"
        return response.json()

    def upload(self, project: int, image: Path) -> str:
        """Upload an image to a project, without a task; returns its path on the server."""
        response = self.api.post(
            f"/api/projects/{project}/import?commit_to_project=false", files={"file": (image.name, image.read_bytes())}
        )
        [number] = response.json()["file_upload_ids"]
        return f"/data/{self.get(f'/api/import/file-upload/{number}')['file']}"

    def retrieve_predictions(self, project: int) -> None:
        """Ask the project's model for predictions of all tasks, as the button of the data manager does."""
        everything = {"selectedItems": {"all": True, "excluded": []}}
        self.post(f"/api/dm/actions?id=retrieve_tasks_predictions&project={project}", everything)

    def predictions(self, task: int) -> list[dict[str, Any]]:
        """Return the predictions of a task, oldest first."""
        rows: list[dict[str, Any]] = self.get(f"/api/predictions?task={task}")
        return sorted(rows, key=lambda row: int(row["id"]))


@contextmanager
def label_studio(folder: Path) -> Iterator[LabelStudio]:
    """Run a Label Studio with SQLite in an empty folder; skip the test if it is not installed."""
    if not (VENV / ".installed").is_file():
        pytest.skip("Label Studio is not installed: make label-studio installs it")
    port = free_port()
    url, log = f"http://127.0.0.1:{port}", folder / "label_studio.log"
    program = str(VENV / "bin" / "label-studio")
    command = [program, "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)]
    variables = {**VARIABLES, "HOME": str(folder), "LABEL_STUDIO_BASE_DATA_DIR": str(folder / "data")}
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output, env=variables) as process:
        try:
            _wait_until_started(url, process, log)
            with httpx.Client(base_url=url, headers={"Authorization": f"Token {TOKEN}"}, timeout=120) as api:
                yield LabelStudio(url, api)
        finally:
            process.kill()


def decode_brushes(regions: Sequence[dict[str, Any]]) -> list[npt.NDArray[np.bool_]]:
    """Return the mask [H,W] of each brush region, as Label Studio's own SDK decodes it."""
    rows = [
        {"rle": region["value"]["rle"], "width": region["original_width"], "height": region["original_height"]}
        for region in regions
    ]
    command = [str(VENV / "bin" / "python"), "-c", DECODE]
    ended = subprocess.run(command, input=json.dumps(rows), capture_output=True, text=True, check=True)
    packed = [np.frombuffer(bytes.fromhex(line), np.uint8) for line in ended.stdout.split()]
    return [
        np.unpackbits(bits, count=row["height"] * row["width"]).reshape(row["height"], row["width"]).astype(np.bool_)
        for bits, row in zip(packed, rows, strict=True)
    ]


def rectangle_corners_px(values: Sequence[dict[str, Any]]) -> npt.NDArray[np.float64]:
    """Return the corners [N,4,2] of turned rectangles, as Label Studio's own SDK exports them; skip without it.

    Args:
        values: of regions, each with `original_width` and `original_height` of its image.
    """
    if not (VENV / ".installed").is_file():
        pytest.skip("Label Studio is not installed: make label-studio installs it")
    command = [str(VENV / "bin" / "python"), "-c", CORNERS]
    ended = subprocess.run(command, input=json.dumps(list(values)), capture_output=True, text=True, check=True)
    return np.array(json.loads(ended.stdout))


def _wait_until_started(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + START_TIMEOUT_S
    while True:
        assert process.poll() is None, log.read_text(errors="replace")[-2000:]
        assert time.monotonic() < give_up, log.read_text(errors="replace")[-2000:]
        try:
            if httpx.get(f"{url}/health").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
