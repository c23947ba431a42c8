"""The client for programs without asyncio, against a server over a socket."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi import FastAPI, Response

from tests.support.fakes.fake_service import FakeService, Reply
from tests.support.servers.live_server import live_server
from weaksam import Client, RequestRefused, RetryPolicy

PROGRAM = """
import sys
from models import net
from weaksam import Client, DetectResult

client = Client(sys.argv[1])
result = client.detect(b"image", ["Bolt"])
assert isinstance(result, DetectResult)
print(net.MINE, *(row.label for row in result.detections))
"""


def test_it_does_what_the_asynchronous_one_does(url: str, fake: FakeService, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"image")
    with Client(url, retry=RetryPolicy(attempts=1)) as client:
        assert client.alive()
        assert [row.name for row in client.labels().labels] == ["Bolt", "Wrench", "Nut"]
        result = client.detect(tmp_path / "a.jpg", ["Bolt"], min_score=0.3)
        assert [row.label for row in result.detections] == ["Bolt"]
        fake.replies["image"] = [Reply(422, "unknown_tag")]
        with pytest.raises(RequestRefused):
            client.detect(b"x", ["x"])


def test_threads_share_a_client(url: str) -> None:
    with Client(url) as client, ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda number: client.detect(b"%d" % number, ["Bolt"]), range(20)))
    assert len(results) == 20


def test_closing_ends_its_thread_and_may_be_repeated(url: str) -> None:
    client = Client(url)
    client.close()
    client.close()
    assert "weaksam-client" not in {thread.name for thread in threading.enumerate()}


def test_a_call_after_it_was_closed_is_refused(url: str) -> None:
    with Client(url) as client:
        pass
    with pytest.raises(ValueError, match="the client is closed: open another one"):
        client.detect(b"image", ["Bolt"])


def test_an_address_without_a_scheme_starts_no_thread() -> None:
    with pytest.raises(ValueError, match="server must be a URL"):
        Client("localhost:8000")
    assert "weaksam-client" not in {thread.name for thread in threading.enumerate()}


def test_a_program_with_packages_of_our_names_can_use_it(url: str, tmp_path: Path, repository_dir: Path) -> None:
    for name in ("models", "service", "training", "deploy", "tests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    (tmp_path / "models" / "net.py").write_text("MINE = 'own'\n")
    (tmp_path / "program.py").write_text(PROGRAM)
    # It never closes the client, and ends all the same.
    ended = subprocess.run(
        [sys.executable, "program.py", url],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(repository_dir)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.stdout, ended.stderr) == ("own Bolt\n", "")


BROKEN_OFF = """
from weaksam import Client
from weaksam.client import ServerUnreachable
from weaksam.retry import RetryPolicy

for _ in range(5):
    with Client("{url}", retry=RetryPolicy(attempts=1)) as client:
        try:
            client.labels()
        except ServerUnreachable:
            print("unreachable")
"""


def test_a_response_that_broke_off_leaves_nothing_behind() -> None:
    app = FastAPI()

    @app.get("/labels")
    def labels() -> Response:
        return Response(b"no gzip", headers={"Content-Encoding": "gzip"})

    with live_server(app) as url:
        command = [sys.executable, "-c", BROKEN_OFF.format(url=url)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("unreachable\n" * 5, "")
