"""What an operator sees of a request: metrics, logs, ids, and what the client does not see of an error."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.bundle import Bundle
from service.app import create_app
from tests.support.bundles.service_parts import TWO_BOLTS_AND_A_NUT, WatchedBackend, tiny_settings
from tests.support.bundles.tiny_bundle import encoded
from tests.support.servers.live_server import live_server

PICTURE = encoded(TWO_BOLTS_AND_A_NUT)
SERVE = """
from service.app import create_server
from service.settings import load_settings
create_server(load_settings()).run()
"""


def test_metrics_tell_of_requests_stages_encodes_cache_queue_and_tags(tiny_service: httpx.Client) -> None:
    tiny_service.post("/detect", files={"image": PICTURE}, data={"tags": ["red-bolt", "blue-wrench"]})
    tiny_service.post("/detect", files={"image": PICTURE}, data={"tags": "gasket"})
    tiny_service.get("/nowhere")
    answer = tiny_service.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    for line in (
        'weaksam_requests_total{code="ok",route="/detect",status="200"}',
        'weaksam_requests_total{code="unknown_tag",route="/detect",status="422"}',
        'weaksam_requests_total{code="not_found",route="unmatched",status="404"}',
        'weaksam_request_seconds_count{route="/detect"}',
        'weaksam_stage_seconds_count{stage="decode"}',
        'weaksam_stage_seconds_count{stage="proposals"}',
        'weaksam_encodes_total{model="sam_encoder"}',
        "weaksam_images_total",
        "weaksam_prompts_total",
        'weaksam_cache_total{kind="sam_encoder",outcome="miss"}',
        "weaksam_cache_bytes",
        "weaksam_queue_depth",
        'weaksam_tags_total{outcome="found"}',
        'weaksam_tags_total{outcome="classifier"}',
    ):
        assert f"\n{line} " in answer.text, line


@pytest.mark.parametrize(("sent", "kept"), [("abc-1", True), ("x" * 65, False), ("a b", False), (None, False)])
def test_a_request_id_is_taken_or_made(tiny_service: httpx.Client, sent: str | None, kept: bool) -> None:
    found = tiny_service.get("/livez", headers={"x-request-id": sent} if sent else {}).headers["x-request-id"]
    assert (found == sent) == kept
    assert found


@pytest.mark.parametrize("error", [RuntimeError("secret of the inside"), KeyError("secret")], ids=["backend", "bug"])
def test_an_error_of_ours_is_logged_and_not_told(
    tiny_bundle: Bundle, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    backend = WatchedBackend(tiny_bundle)
    with (
        live_server(create_app(tiny_settings(tiny_bundle.folder), backend)) as url,
        httpx.Client(base_url=url) as client,
    ):
        backend.failing = True
        backend.error = error
        answer = client.post("/detect", files={"image": PICTURE})
        assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
        assert "secret" not in answer.text
        assert "Traceback" not in answer.text
        backend.failing = False
        assert client.post("/detect", files={"image": PICTURE}).status_code == 200
        assert 'code="internal_error",route="/detect",status="500"} 1.0' in client.get("/metrics").text
    (record,) = [record for record in caplog.records if record.message == "internal error"]
    assert record.exc_info is not None
    assert record.exc_info[1] is error


@contextmanager
def served(repository_dir: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE],
        cwd=repository_dir,
        env={**os.environ, **{f"WEAKSAM_{name}": value for name, value in environment.items()}},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_served_process_logs_json_and_stops_when_told(repository_dir: Path, tiny_bundle: Bundle) -> None:
    with served(repository_dir, BUNDLE=str(tiny_bundle.folder), PORT="0", INTRA_OP_THREADS="1") as process:
        assert process.stderr is not None
        lines: list[dict[str, Any]] = []
        while not any("running on" in line["message"] for line in lines):
            lines.append(json.loads(process.stderr.readline()))
        url = lines[-1]["message"].split()[3]
        answer = httpx.post(
            f"{url}/detect",
            headers={"x-request-id": "seen-1"},
            files={"image": PICTURE},
            data={"tags": "gasket,secret tag"},
        )
        assert answer.status_code == 422
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=20)
    lines += [json.loads(line) for line in rest.splitlines()]
    assert process.returncode in (0, -signal.SIGTERM)
    (request,) = [line for line in lines if line["message"] == "request"]
    assert request.pop("duration_ms") > 0
    assert {key: request[key] for key in ("request_id", "method", "path", "status", "code", "level")} == {
        "request_id": "seen-1",
        "method": "POST",
        "path": "/detect",
        "status": 422,
        "code": "unknown_tag",
        "level": "info",
    }
    assert not any("secret tag" in json.dumps(line) for line in lines), "what users send is not for the log"
    assert not any("exception" in line for line in lines)


WRONG_STARTS = {
    "a bad value": ({"WORKERS": "none"}, "WEAKSAM_WORKERS is 'none'"),
    "no bundle": ({"BUNDLE": "/nowhere"}, "/nowhere/bundle.json does not exist"),
}


@pytest.mark.parametrize(("environment", "sentence"), WRONG_STARTS.values(), ids=list(WRONG_STARTS))
def test_a_wrong_start_ends_at_once_and_says_why(
    repository_dir: Path, environment: dict[str, str], sentence: str
) -> None:
    with served(repository_dir, **environment) as process:
        _, error = process.communicate(timeout=30)
    assert process.returncode != 0
    assert sentence in error.splitlines()[-1]
