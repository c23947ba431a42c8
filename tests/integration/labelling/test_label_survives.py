"""Labelling runs that are killed at random moments, or whose disk runs full: nothing lost, nothing doubled or torn."""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fakes.fake_service import BUSY, CUT, LABELS, FakeService, Reply
from tests.support.faults.small_disk import small_disk
from weaksam.files.image_files import JOURNAL
from weaksam.formats.coco import DATASET, RESULTS
from weaksam.labelling.outputs import CONTACT_SHEET, FAILURES, LEDGER

WRITTEN = (DATASET, FAILURES, LEDGER, RESULTS)
LOG = logging.getLogger(__name__)
KILLS = int(os.environ.get("WEAKSAM_TEST_KILLS", "20"))
IMAGES = 240
CONCURRENCY = 4
SEED = 2026


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images in folders named after their tag."""
    for number in range(IMAGES):
        place = tmp_path / "in" / LABELS[number % len(LABELS)]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:03}.jpg").write_bytes(f"image {number}".encode())
    return tmp_path / "in"


def command(folder: Path, url: str, out: Path) -> list[str]:
    start = [sys.executable, "-m", "weaksam", "label", str(folder), "--tags-from", "folder"]
    return [*start, "--server", url, "--out", str(out), "--concurrency", str(CONCURRENCY)]


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=120)


def stored(out: Path) -> list[str]:
    """Images of the journal's whole lines, in their order."""
    journal = out / JOURNAL
    lines = journal.read_bytes().rpartition(b"\n")[0].splitlines()[1:] if journal.exists() else []
    return [json.loads(line)["image"] for line in lines]


def run_until_killed(arguments: list[str], out: Path, more: int, delay_s: float) -> bool:
    """Start a run and kill it `delay_s` after it has stored `more` results; tell if it was killed before its end."""
    before = len(stored(out))
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(stored(out)) < before + more:
        time.sleep(0.002)
    time.sleep(delay_s)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def test_twenty_random_kills_lose_nothing_and_double_nothing(
    folder: Path, url: str, fake: FakeService, tmp_path: Path
) -> None:
    fake.delay_s = 0.01
    random_ = random.Random(SEED)
    out, kills, before = tmp_path / "out", 0, list[str]()
    while kills < KILLS:
        # In the last runs there is little left to do: these are killed while they start or write their files.
        more = random_.randint(0, min(IMAGES - len(before), 2 * IMAGES // KILLS))
        kills += run_until_killed(command(folder, url, out), out, more, random_.uniform(0, 0.2))
        found = stored(out)
        assert found[: len(before)] == before, "a stored result is gone"
        before = found
    fake.delay_s = 0.0
    ended = run(command(folder, url, out))
    assert ended.returncode == 0, ended.stderr
    # What was in flight at a kill is sent once more, and nothing else.
    sent_again = len(fake.seen) - IMAGES
    assert sent_again <= CONCURRENCY * KILLS

    assert run(command(folder, url, tmp_path / "whole")).returncode == 0
    for name in WRITTEN:
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    results = Counter(stored(out))
    LOG.info("%d kills, %d images: %d stored, %d sent again", kills, IMAGES, len(results), sent_again)
    assert (len(results), max(results.values())) == (IMAGES, 1)
    assert sorted(path.name for path in out.iterdir()) == sorted([*WRITTEN, CONTACT_SHEET, JOURNAL])


def test_faults_of_every_kind_at_once_lose_nothing(folder: Path, url: str, fake: FakeService, tmp_path: Path) -> None:
    random_ = random.Random(SEED)
    kinds = (BUSY, CUT, Reply(504, "deadline_exceeded"), Reply(429, "rate", {"Retry-After": "0"}), Reply(502, "x"))
    faults = {f"{number:03}.jpg": [random_.choice(kinds)] for number in range(IMAGES) if random_.random() < 0.2}
    fake.replies = {name: list(replies) for name, replies in faults.items()}
    ended = run(command(folder, url, tmp_path / "out"))
    assert ended.returncode == 0, ended.stderr
    assert f"{IMAGES} images labelled (0 in earlier runs), {IMAGES} detections, 0 failed." in ended.stdout
    LOG.info("%d faults, %d images: %d stored", len(faults), IMAGES, len(stored(tmp_path / "out")))
    assert len(fake.seen) == IMAGES + len(faults)
    assert len(faults) > 30


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB."""
    yield from small_disk(tmp_path / "disk", "64k")


def test_a_full_disk_is_one_sentence_and_the_run_goes_on_when_there_is_room(
    folder: Path, url: str, fake: FakeService, tmp_path: Path, disk: Path
) -> None:
    out = disk / "out"
    ended = run(command(folder, url, out))
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert f"{out}: No space left on device: make room, then give the same command" in ended.stderr
    journal = (out / JOURNAL).read_bytes()
    assert journal.endswith(b"}\n"), "a line is torn"
    done = stored(out)
    assert 10 < len(done) < IMAGES
    assert sorted(path.name for path in out.iterdir()) == [JOURNAL]
    LOG.info("disk full after %d results, %d whole lines", len(done), journal.count(b"\n") - 1)

    moved = shutil.copytree(out, tmp_path / "room")
    fake.seen.clear()
    ended = run(command(folder, url, moved))
    assert f"{IMAGES} images labelled ({len(done)} in earlier runs)" in ended.stdout
    assert len(fake.seen) == IMAGES - len(done)


def test_a_disk_that_is_full_at_the_end_leaves_the_old_files(folder: Path, url: str, disk: Path) -> None:
    for path in sorted(folder.rglob("*.jpg"))[20:]:
        path.unlink()
    out = disk / "out"
    assert run(command(folder, url, out)).returncode == 0
    before = {name: (out / name).read_bytes() for name in WRITTEN}
    room = os.statvfs(disk)
    (disk / "filler").write_bytes(bytes(room.f_bavail * room.f_frsize))
    ended = run(command(folder, url, out))
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert "No space left on device: make room" in ended.stderr
    assert {name: (out / name).read_bytes() for name in WRITTEN} == before
    assert sorted(path.name for path in out.iterdir()) == sorted([*WRITTEN, CONTACT_SHEET, JOURNAL])
