"""Schemathesis over the OpenAPI document of a running service: no request of any kind is answered wrongly."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from models.bundle import Bundle
from service.app import create_app
from service.auth.api_keys import ApiKey, KeyFile, key_sha256, new_key, write_key_file
from tests.support.bundles.service_parts import tiny_settings
from tests.support.servers.live_server import live_server

pytest.importorskip("schemathesis", reason="schemathesis is not installed: pip install -e '.[dev]'")

BUDGET_S = int(os.environ.get("WEAKSAM_TEST_FUZZ_S", "45"))
SEED = int(os.environ.get("WEAKSAM_TEST_FUZZ_SEED", "2026"))

logger = logging.getLogger(__name__)


def test_every_response_is_what_the_document_says(tiny_bundle: Bundle, tmp_path: Path, repository_dir: Path) -> None:
    key = new_key()
    write_key_file(tmp_path / "keys.json", KeyFile(keys=(ApiKey(name="admin", sha256=key_sha256(key), admin=True),)))
    report = tmp_path / "report.json"
    # A copy, since schemathesis writes beside its settings.
    folder = shutil.copytree(repository_dir / "tests" / "support" / "schemathesis", tmp_path / "run")
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "--no-color", "run"),
        *(
            "--phases",
            "examples,coverage,fuzzing,stateful",
            "--checks",
            "all",
            "--exclude-checks",
            "negative_data_rejection",
        ),
        *("--max-time", str(BUDGET_S), "--seed", str(SEED), "--generation-database", "none"),
        *("--header", f"Authorization: Bearer {key}", "--report-json-path", str(report)),
    ]
    settings = tiny_settings(tiny_bundle.folder, api_keys_file=tmp_path / "keys.json")
    with live_server(create_app(settings)) as url:
        ended = subprocess.run(
            [*command, f"{url}/openapi.json"], cwd=folder, capture_output=True, text=True, check=False
        )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    logger.info("%s", ended.stdout[ended.stdout.rfind("API Operations") :])
    logger.info("%s", json.dumps(json.loads(report.read_text()))[:3000])
