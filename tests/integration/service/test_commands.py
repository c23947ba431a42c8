"""`weaksam serve`, `detect`, `label` and `bundle` as processes, on the tiny bundle."""

from __future__ import annotations

import csv
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from PIL import Image

from models.bundle import Bundle
from service.app import create_app
from tests.support.bundles.service_parts import BLUE, GREEN, RED, TWO_BOLTS_AND_A_NUT, tiny_settings
from tests.support.bundles.tiny_bundle import encoded, picture
from tests.support.servers.live_server import live_server
from weaksam.formats.run_lengths import decode_rle
from weaksam.schemas import DetectResult

REFUSED = 2
WEAKSAM = (sys.executable, "-m", "weaksam")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(TWO_BOLTS_AND_A_NUT))
    return path


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*WEAKSAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@contextmanager
def served(*arguments: str | Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A serving process and the address that it says it listens on."""
    process = subprocess.Popen([*WEAKSAM, "serve", *map(str, arguments)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        line = next(line for line in process.stderr if "listening on" in line)
        yield process, re.findall(r"http://[\d.:]+", json.loads(line)["message"])[0]
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_detect_draws_writes_and_prints(photo: Path, tiny_bundle: Bundle) -> None:
    overlay, answer = photo.with_name("overlay.png"), photo.with_name("answer.json")
    outputs = ("--overlay", overlay, "--json", answer)
    ended = run("detect", photo, "--tags", "Red Bolt,blue_wrench", "--bundle", tiny_bundle.folder, *outputs)
    assert ended.returncode == 0, ended.stderr
    result = DetectResult.model_validate_json(answer.read_bytes())
    # The nut is in the picture too, but nobody tagged it.
    assert [row.label for row in result.detections] == ["red-bolt", "red-bolt"]
    assert [(row.label, row.status) for row in result.tags] == [("red-bolt", "found"), ("blue-wrench", "not_found")]
    with Image.open(overlay) as drawn:
        assert (drawn.format, drawn.size) == ("PNG", (64, 64))
    assert "found 2" in ended.stdout
    assert "not found, lost at: classifier" in ended.stdout


def test_detect_without_tags_proposes_them(photo: Path, tiny_bundle: Bundle) -> None:
    ended = run("detect", photo, "--bundle", tiny_bundle.folder)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count(", proposed") == 2
    assert "blue-wrench" not in ended.stdout


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        pytest.param(("--tags", "red bult"), "'red bult' is no label, the nearest are red-bolt", id="unknown tag"),
        pytest.param(("--overlay", "/absent/o.png"), "No such file or directory: '/absent/o.png'", id="overlay"),
    ],
)
def test_detect_refuses_in_one_sentence(photo: Path, tiny_bundle: Bundle, more: tuple[str, str], sentence: str) -> None:
    ended = run("detect", photo, "--bundle", tiny_bundle.folder, *more)
    assert ended.returncode == REFUSED
    assert sentence in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_detect_skips_unknown_tags_where_asked(photo: Path, tiny_bundle: Bundle) -> None:
    ended = run("detect", photo, "--bundle", tiny_bundle.folder, "--tags", "x,rivet", "--unknown-tags", "skip")
    assert ended.returncode == 0, ended.stderr
    assert "unknown; the nearest labels are" in ended.stdout
    assert "found 2" in ended.stdout


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminate"])
def test_serve_answers_until_it_is_stopped(tiny_bundle: Bundle, stop: signal.Signals) -> None:
    with served("--port", "0", "--bundle", tiny_bundle.folder) as (process, url):
        assert httpx.get(f"{url}/labels", timeout=30).json()["bundle"]["name"] == "tiny"
        process.send_signal(stop)
        # A process that a signal ended says so by its status, unless a person asked for it at the keyboard.
        assert process.wait(timeout=30) == (0 if stop == signal.SIGINT else -signal.SIGTERM)


def test_serve_takes_the_environment_and_flags_win(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEAKSAM_BUNDLE", str(tiny_bundle.folder))
    monkeypatch.setenv("WEAKSAM_PORT", "1")
    monkeypatch.setenv("WEAKSAM_MAX_TAGS", "1")
    with served("--port", "0") as (_, url):
        files = {"image": encoded(picture())}
        answer = httpx.post(f"{url}/detect", files=files, data={"tags": "red-bolt,green-nut"}, timeout=30)
    assert answer.json()["code"] == "too_many_tags"


def test_serve_says_at_once_that_the_port_is_taken(tiny_bundle: Bundle) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = run("serve", "--port", str(taken.getsockname()[1]), "--bundle", tiny_bundle.folder)
    assert ended.returncode == REFUSED
    assert re.fullmatch(
        r"weaksam: cannot listen: Address already in use.*: give another --host or --port\n", ended.stderr
    )


def test_bundle_is_shown_and_checked(tiny_bundle: Bundle) -> None:
    checked = run("bundle", "check", tiny_bundle.folder)
    assert checked.stdout == "tiny 1 is whole: 4 graphs, 3 labels\n"
    shown = run("bundle", "show", tiny_bundle.folder).stdout
    assert tiny_bundle.digest in shown
    assert all(text in shown for text in ("red-bolt", "rivet", "sam_decoder", "prompts.grid_sides"))


def test_label_stores_what_the_service_answers(tiny_bundle: Bundle, tmp_path: Path) -> None:
    colours = {"red": RED, "green": GREEN, "blue": BLUE}
    folder = tmp_path / "in"
    folder.mkdir()
    for number, (name, rgb) in enumerate(colours.items()):
        left = 4 + 8 * number
        (folder / f"{name}.png").write_bytes(encoded(picture(((left, 8, left + 20, 24), rgb))))
    (folder / "broken.png").write_bytes(b"no picture")
    tags = "file,tags\nred.png,rivet\ngreen.png,Green Nut\nblue.png,red-bolt;blue-wrench\nbroken.png,rivet\n"
    (tmp_path / "tags.csv").write_text(tags)
    with live_server(create_app(tiny_settings(tiny_bundle.folder))) as url:
        options = ("--tags", tmp_path / "tags.csv", "--server", url, "--max-error-rate", "0.25")
        ended = run("label", folder, "--out", tmp_path / "out", *options)
    assert ended.returncode == 0, ended.stderr
    dataset = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert [row["name"] for row in dataset["categories"]] == ["red-bolt", "green-nut", "blue-wrench"]
    files = {row["id"]: row["file_name"] for row in dataset["images"]}
    found = {files[row["image_id"]]: (row["category_id"], row["bbox"], row["area"]) for row in dataset["annotations"]}
    assert found == {
        "red.png": (1, [4.0, 8.0, 20.0, 16.0], 320),
        "green.png": (2, [12.0, 8.0, 20.0, 16.0], 320),
        "blue.png": (3, [20.0, 8.0, 20.0, 16.0], 320),
    }
    assert all(decode_rle(row["segmentation"])[8:24].sum() == 320 for row in dataset["annotations"])
    with (tmp_path / "out" / "failures.csv").open(encoding="utf-8-sig") as file:
        assert [(row["image"], row["code"]) for row in csv.DictReader(file)] == [("broken.png", "not_an_image")]
    with (tmp_path / "out" / "ledger.csv").open(encoding="utf-8-sig") as file:
        lost = [(row["image"], row["tag"], row["stage"]) for row in csv.DictReader(file) if row["status"] != "found"]
    assert lost == [("blue.png", "red-bolt", "classifier")]
