"""`weaksam label` on images behind addresses: a real S3 server, a web server, and lists."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.fakes.fake_service import FakeService, Reply
from tests.support.servers.review_server import review_server, write_labelled
from tests.support.servers.s3_server import s3_server
from weaksam.cli.labelling.convert import convert
from weaksam.errors import UserError
from weaksam.files.image_source import open_images, open_path

pytest.importorskip("s3fs", reason="s3fs is not installed: pip install -e '.[cloud]'")

FILES = {
    "Bolt/a 1.jpg": b"bolt 1",
    "Bolt/ä.png": b"bolt 2",
    "Wrench,Nut/deep/er/c.jpg": b"wrench",
    "Wrench,Nut/notes.txt": b"no image",
    "Wrench,Nut/.hidden.jpg": b"hidden",
    "Nut/raw.heic": b"heic",
}
IMAGES = ("Bolt/a 1.jpg", "Bolt/ä.png", "Wrench,Nut/deep/er/c.jpg")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The address of the S3 server."""
    with s3_server() as address:
        yield address


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The file system of the server with `FILES` in s3://photos/day; empty again afterwards."""
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    s3fs.S3FileSystem.clear_instance_cache()
    file_system = s3fs.S3FileSystem()
    file_system.mkdir("photos")
    for name, data in FILES.items():
        file_system.pipe_file(f"photos/day/{name}", data)
    yield file_system
    file_system.rm("photos", recursive=True)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The address of a web server that lists a folder with `FILES`."""
    for name, data in FILES.items():
        (tmp_path / "site" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "site" / name).write_bytes(data)
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "site"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def label(url: str, tmp_path: Path) -> Run:
    """Runs the command on a location, in a process of its own."""

    def run(location: str, *options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "weaksam", "label", location, "--server", url, "--out", str(tmp_path / "out")]
        given = options or ("--tags-from", "folder")
        return subprocess.run([*command, *given], capture_output=True, text=True, check=False, timeout=120)

    return run


def names(out: Path) -> list[str]:
    return [row["file_name"] for row in json.loads((out / "dataset.json").read_text())["images"]]


def test_a_bucket_is_labelled_and_nothing_is_sent_twice(
    bucket: Any, label: Run, fake: FakeService, tmp_path: Path
) -> None:
    ended = label("s3://photos/day", "--tags-from", "folder", "--max-error-rate", "1")
    assert ended.returncode == 0, ended.stderr
    assert tuple(names(tmp_path / "out")) == IMAGES
    assert "raw.heic,unsupported_format" in (tmp_path / "out" / "failures.csv").read_text(encoding="utf-8-sig")
    assert len(fake.seen) == 3

    bucket.pipe_file("photos/day/Bolt/a 1.jpg", b"bolt 3")  # of the same size
    assert label("s3://photos/day", "--tags-from", "folder", "--max-error-rate", "1").returncode == 0
    assert len(fake.seen) == 4, "only what has changed is sent again"


def test_a_run_on_a_bucket_goes_on_after_a_failure(bucket: Any, label: Run, fake: FakeService, tmp_path: Path) -> None:
    bucket.rm("photos/day/Nut/raw.heic")
    fake.replies["c.jpg"] = [Reply(422, "image_broken")]
    assert label("s3://photos/day").returncode == 1
    assert label("s3://photos/day").returncode == 0
    assert len(fake.seen) == 4
    assert tuple(names(tmp_path / "out")) == IMAGES


def test_sidecars_in_a_bucket(bucket: Any, label: Run, tmp_path: Path) -> None:
    bucket.pipe_file("photos/day/Bolt/a 1.txt", b"Bolt; Nut")
    assert label("s3://photos/day", "--tags-from", "sidecar", "--max-error-rate", "1").returncode == 0
    assert names(tmp_path / "out") == ["Bolt/a 1.jpg"]


def test_a_web_folder(web: str, label: Run, fake: FakeService, tmp_path: Path) -> None:
    for _ in range(2):
        ended = label(web, "--tags-from", "folder", "--max-error-rate", "1")
        assert ended.returncode == 0, ended.stderr
    assert tuple(names(tmp_path / "out")) == IMAGES
    assert len(fake.seen) == 3


def test_a_list_of_addresses(web: str, label: Run, fake: FakeService, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"# two of three\n{web}Bolt/a%201.jpg\n\n{web}Wrench,Nut/deep/er/c.jpg\n")
    ended = label(str(tmp_path / "list.txt"), "--tags-from", "folder")
    assert ended.returncode == 0, ended.stderr
    assert len(fake.seen) == 2


def test_images_that_vanish_are_listed(web: str, label: Run, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{web}Bolt/a%201.jpg\n{web}Wrench,Nut/gone.jpg\n")
    assert label(str(tmp_path / "list.txt")).returncode == 1
    assert 'gone.jpg",unreadable,"the file cannot be read: ' in (tmp_path / "out" / "failures.csv").read_text()


@pytest.mark.parametrize(
    ("location", "sentence"),
    [
        pytest.param("s3://photos/nothing", "holds no image", id="empty"),
        pytest.param("s3://absent", "absent", id="no bucket"),
        pytest.param("xyz://host/photos", "is no address that fsspec knows", id="protocol"),
        pytest.param("http://127.0.0.1:9/photos/", "127.0.0.1:9", id="nobody listens"),
    ],
)
@pytest.mark.usefixtures("bucket")
def test_what_cannot_be_reached_is_one_sentence(label: Run, location: str, sentence: str) -> None:
    ended = label(location)
    assert ended.returncode == 2, ended.stderr
    assert sentence in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_web_server_that_does_not_respond_is_not_an_empty_folder(web: str) -> None:
    with pytest.raises(UserError, match=r"nothing responds at http://127\.0\.0\.1:9/ \(.*\): check the address"):
        open_images("http://127.0.0.1:9/")
    with pytest.raises(UserError, match=r"/absent/ does not exist on its server: check the address"):
        open_images(f"{web}absent/")


def test_lists_of_several_hosts_are_refused(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("s3://a/1.jpg\ns3://b/2.jpg\n")
    with pytest.raises(UserError, match="several hosts: make a list for each"):
        open_images(str(tmp_path / "list.txt"))


def test_a_run_in_a_bucket_is_converted(bucket: Any, label: Run, tmp_path: Path) -> None:
    label("s3://photos/day", "--tags-from", "folder", "--max-error-rate", "1")
    bucket.put_file(str(tmp_path / "out" / "dataset.json"), "photos/run/dataset.json")
    convert("s3://photos/run", "yolo", tmp_path / "yolo")
    assert (tmp_path / "yolo" / "labels" / "Bolt" / "a 1.txt").is_file()
    with pytest.raises(UserError, match="does not exist: name a folder"):
        convert("s3://photos/day", "yolo", tmp_path / "none")


def test_the_base_install_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "upath", None)
    with pytest.raises(UserError, match=r"pip install -e '\.\[cloud\]'"):
        open_path("s3://photos")


def test_a_labelled_bucket_is_reviewed_where_it_is(bucket: Any, tmp_path: Path) -> None:
    write_labelled(tmp_path)
    for path in sorted((tmp_path / "photos").rglob("*.png")):
        bucket.pipe_file(f"photos/reviewed/{path.relative_to(tmp_path / 'photos').as_posix()}", path.read_bytes())
    bucket.rm_file("photos/reviewed/a/clear.png")
    with review_server(tmp_path, "--photos", "s3://photos/reviewed") as server:
        wishes = [{"reviewer": name, "count": 4} for name in ("ann", "ben", "cat")]  # each gets half of what is left
        claimed = [entry for wish in wishes for entry in httpx.post(f"{server.url}/review/claims", json=wish).json()]
        assert len(claimed) == 4
        files = {entry["file_name"]: httpx.get(f"{server.url}/review/images/{entry['id']}/file") for entry in claimed}
    absent = files.pop("a/clear.png")
    assert (absent.status_code, "cannot be read" in absent.json()["detail"]) == (404, True)
    for name, response in files.items():
        assert response.headers["content-type"] == "image/png"
        assert response.content == (tmp_path / "photos" / name).read_bytes()
    assert (tmp_path / "reviewed" / "annotations" / "instances_train.json").is_file()
    assert not (tmp_path / "reviewed" / "images").exists()
