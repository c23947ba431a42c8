"""`weaksam label` against a server over a socket: killed, resumed, cut off and refused."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np
import pytest
from pycocotools.coco import COCO

from tests.support.bundles.service_parts import RED
from tests.support.bundles.tiny_bundle import encoded, picture
from tests.support.fakes.fake_service import BUSY, CUT, LABELS, FakeService, Reply, fake_app
from tests.support.servers.live_server import live_server
from weaksam.client import AsyncClient
from weaksam.labelling.journal import JournalError
from weaksam.labelling.run import LabelJob, LabelSummary, OnDone, label_folder
from weaksam.labelling.worklist import Failure, worklist_from_names
from weaksam.retry import RetryPolicy

DONE, TOO_MANY_FAILED, REFUSED = 0, 1, 2
WRITTEN = ("dataset.json", "failures.csv", "ledger.csv", "results.json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sixty images in three folders named after their tag; the same file names in each."""
    for label in LABELS:
        (tmp_path / "in" / label).mkdir(parents=True)
        for number in range(20):
            (tmp_path / "in" / label / f"{number:02}.jpg").write_bytes(f"{label} {number}".encode())
    return tmp_path / "in"


@pytest.fixture
def command(folder: Path, url: str, tmp_path: Path) -> list[str]:
    start = [sys.executable, "-m", "weaksam", "label", str(folder)]
    return [*start, "--tags-from", "folder", "--server", url, "--out", str(tmp_path / "out")]


def run(command: list[str], *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command, *more], capture_output=True, text=True, check=False, timeout=120)


def journaled(out: Path) -> list[str]:
    """Images of the whole lines of the journal, in their order."""
    journal = out / "journal.jsonl"
    if not journal.exists():
        return []
    whole = journal.read_bytes().rpartition(b"\n")[0].splitlines()
    return [json.loads(line)["image"] for line in whole[1:]]


def kill_after(command: list[str], out: Path, answers: int) -> list[str]:
    """Start a run, kill it once it has stored `answers` answers; returns what its journal holds then."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while len(journaled(out)) < answers:
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    return journaled(out)


def failures(out: Path) -> list[tuple[str, str]]:
    with (out / "failures.csv").open(encoding="utf-8-sig") as file:
        return [(row["image"], row["code"]) for row in csv.DictReader(file)]


def test_a_run_killed_twice_loses_nothing_and_does_nothing_twice(
    command: list[str], fake: FakeService, tmp_path: Path, folder: Path
) -> None:
    out = tmp_path / "out"
    fake.delay_s = 0.02
    first = kill_after(command, out, 8)
    assert 8 <= len(first) < 60
    with (out / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"image":"Bolt/19.jpg","stamp":{"si')
    fake.seen.clear()
    second = kill_after(command, out, len(first) + 8)
    assert second[: len(first)] == first
    ended = run(command)
    assert ended.returncode == DONE, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0] == f"{len(second)} images labelled in earlier runs, {60 - len(second)} left."
    assert lines[1] == f"60 images labelled ({len(second)} in earlier runs), 60 detections, 0 failed."

    done = journaled(out)
    assert sorted(done) == sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg"))
    digests_of_first = {FakeService().answer((folder / image).read_bytes(), ())["image"]["sha256"] for image in first}
    assert not digests_of_first & {digest for _, digest in fake.seen}

    whole = tmp_path / "whole"
    anew = run([*command[:-1], str(whole)])
    assert (anew.returncode, anew.stdout.splitlines()[0]) == (
        DONE,
        "60 images labelled (0 in earlier runs), 60 detections, 0 failed.",
    )
    for name in WRITTEN:
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    assert sorted(path.name for path in out.iterdir()) == sorted([*WRITTEN, "contact_sheet.html", "journal.jsonl"])


def test_the_files_are_coco(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command).returncode == DONE
    dataset = COCO(str(tmp_path / "out" / "dataset.json"))
    results = dataset.loadRes(str(tmp_path / "out" / "results.json"))
    capsys.readouterr()
    assert len(results.anns) == 60
    for row in results.anns.values():
        # The folder that an image lies in is its only tag, so nothing else may have been found in it.
        assert dataset.imgs[row["image_id"]]["file_name"].startswith(dataset.cats[row["category_id"]]["name"])
        assert int(results.annToMask(row).sum()) == dataset.anns[row["id"]]["area"]
    assert list(dataset.cats) == [1, 2, 3]


def test_trouble_that_passes_is_not_a_failure(command: list[str], fake: FakeService, tmp_path: Path) -> None:
    fake.replies = {"00.jpg": [BUSY, CUT, BUSY], "07.jpg": [Reply(503, "busy", {"Retry-After": "1"})]}
    assert run(command, "--concurrency", "8").returncode == DONE
    assert failures(tmp_path / "out") == []
    assert len(journaled(tmp_path / "out")) == 60


def test_a_server_for_few_is_not_overrun(command: list[str], fake: FakeService) -> None:
    fake.capacity, fake.delay_s = 2, 0.01
    assert run(command, "--concurrency", "16").returncode == DONE
    assert fake.max_in_flight <= 2


@pytest.mark.parametrize(
    ("rate", "status"),
    [
        pytest.param("0", TOO_MANY_FAILED, id="none allowed"),
        pytest.param("0.049", TOO_MANY_FAILED, id="just above"),
        pytest.param("0.05", DONE, id="just allowed"),
    ],
)
def test_the_exit_status_follows_the_error_rate(
    command: list[str], fake: FakeService, tmp_path: Path, rate: str, status: int
) -> None:
    fake.replies = {"03.jpg": [Reply(500, "internal_error")] * 3}
    assert run(command, "--max-error-rate", rate).returncode == status
    assert failures(tmp_path / "out") == [(f"{label}/03.jpg", "internal_error") for label in sorted(LABELS)]


def test_failures_are_tried_again_and_ids_stay(command: list[str], fake: FakeService, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fake.replies = {"03.jpg": [Reply(415, "not_an_image")] * 3}
    assert run(command).returncode == TOO_MANY_FAILED
    before = json.loads((out / "dataset.json").read_text())["images"]
    fake.seen.clear()
    assert run(command).returncode == DONE
    assert [name for name, _ in fake.seen] == ["03.jpg"] * 3
    after = json.loads((out / "dataset.json").read_text())["images"]
    assert len(before) == 57
    assert [row for row in after if not row["file_name"].endswith("03.jpg")] == before
    assert failures(out) == []


def test_results_inside_the_folder_are_no_images_of_the_next_run(command: list[str], folder: Path) -> None:
    inside = [*command[:-1], str(folder / "out")]
    assert run(inside, "--masks", "png").returncode == DONE
    assert list((folder / "out").rglob("*.png"))
    again = run(inside, "--masks", "png")
    assert again.returncode == DONE, again.stderr
    assert "60 images labelled (60 in earlier runs), 60 detections, 0 failed." in again.stdout
    refused = run([*command[:-1], str(folder)])
    assert (refused.returncode, refused.stdout) == (REFUSED, "")
    assert "is the folder of the images: give another one" in refused.stderr


def test_a_tag_of_half_a_character_fails_its_image_alone(
    command: list[str], folder: Path, fake: FakeService, tmp_path: Path
) -> None:
    (folder / "half.jpg").write_bytes(b"half")
    fake.replies["half.jpg"] = [Reply(422, "unknown_tag")]
    for image in folder.rglob("*.jpg"):
        image.with_suffix(".json").write_text('["Bolt"]')
    (folder / "half.json").write_text('["Bolt", "\\ud83d"]')
    ended = run(["sidecar" if word == "folder" else word for word in command])
    assert ended.returncode == TOO_MANY_FAILED, ended.stderr
    assert "60 images labelled" in ended.stdout
    assert failures(tmp_path / "out") == [("half.jpg", "unknown_tag")]


def test_tags_that_are_no_label_are_told_before_and_failures_are_counted(
    command: list[str], fake: FakeService, folder: Path
) -> None:
    (folder / "Spanner").mkdir()
    for number in range(2):
        (folder / "Spanner" / f"x{number}.jpg").write_bytes(f"spanner {number}".encode())
        fake.replies[f"x{number}.jpg"] = [Reply(422, "unknown_tag")]
    (folder / "Bolt" / "raw.heic").write_bytes(b"heic")
    ended = run(command)
    assert ended.returncode == TOO_MANY_FAILED
    lines = ended.stdout.splitlines()
    assert lines[0] == "Note: 'Spanner' is no label, images with it: 2, nearest: Nut, Wrench, Bolt."
    assert lines[1] == "Tags that are no label: 1. Images with such tags fail. GET /labels lists the labels."
    assert "Failed: 2 unknown_tag, 1 unsupported_format. failures.csv says why for each image." in lines


def test_changed_tags_and_images_are_sent_again(
    command: list[str], fake: FakeService, folder: Path, tmp_path: Path
) -> None:
    assert run(command).returncode == DONE
    (folder / "Bolt" / "05.jpg").write_bytes(b"retaken")
    (folder / "Bolt" / "06.jpg").rename(folder / "Nut" / "new.jpg")
    fake.seen.clear()
    assert run(command).returncode == DONE
    assert sorted(name for name, _ in fake.seen) == ["05.jpg", "new.jpg"]
    dataset = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert len(dataset["images"]) == len(dataset["annotations"]) == 60


def test_another_bundle_is_refused(command: list[str], fake: FakeService, tmp_path: Path) -> None:
    assert run(command).returncode == DONE
    before = (tmp_path / "out" / "results.json").read_bytes()
    fake.digest = "e" * 64
    ended = run(command)
    assert ended.returncode == REFUSED
    assert ended.stderr.count("\n") == 1
    assert "holds results of bundle fake 1 (dddddddddddd), the server has fake 1 (eeeeeeeeeeee)" in ended.stderr
    assert (tmp_path / "out" / "results.json").read_bytes() == before


def test_csv_failures_of_every_kind_are_listed(
    command: list[str], fake: FakeService, folder: Path, tmp_path: Path
) -> None:
    table = tmp_path / "tags.csv"
    table.write_text("file,tags\nBolt/00.jpg,Bolt;Nut\nBolt/01.jpg,Bolt\nBolt/gone.jpg,Nut\nNut/02.jpg,Bolt\n")
    for label in LABELS:
        for number in range(3, 20):
            (folder / label / f"{number:02}.jpg").unlink()
    fake.replies = {"01.jpg": [Reply(415, "not_an_image")]}
    (folder / "Nut" / "02.jpg").unlink()
    (folder / "Nut" / "02.jpg").symlink_to(folder / "nowhere.jpg")
    without_place = [part for part in command if part not in {"--tags-from", "folder"}]
    ended = run(without_place, "--tags", str(table), "--max-error-rate", "1")
    assert ended.returncode == DONE, ended.stderr
    untagged = ["Bolt/02.jpg", "Nut/00.jpg", "Nut/01.jpg", "Wrench/00.jpg", "Wrench/01.jpg", "Wrench/02.jpg"]
    others = {"Bolt/01.jpg": "not_an_image", "Bolt/gone.jpg": "image_missing", "Nut/02.jpg": "unreadable"}
    assert failures(tmp_path / "out") == sorted([*((name, "no_tags") for name in untagged), *others.items()])
    ledger = (tmp_path / "out" / "ledger.csv").read_text().splitlines()
    review = ",0.884,Bolt and Nut overlap with close scores"
    assert ledger[1:] == [f"Bolt/00.jpg,{tag},{tag},found,1,,0.75{review}" for tag in ("Bolt", "Nut")]


def test_options_reach_the_service(command: list[str], fake: FakeService) -> None:
    assert run(command, "--min-score", "0.25", "--unknown-tags", "skip").returncode == DONE
    assert {(form["min_score"], form["unknown_tags"], form["mask_format"]) for form in fake.forms} == {
        ("0.25", "skip", "rle")
    }


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param(
            ("--server", "http://127.0.0.1:9"),
            "127.0.0.1:9 cannot be reached: All connection attempts failed: start it with `weaksam serve`",
            id="no server",
        ),
        pytest.param(("--server", "localhost"), "server must be a URL", id="no URL"),
        pytest.param(("--tags", "absent.csv"), "give either --tags FILE or --tags-from", id="two places of tags"),
        pytest.param(("--out", "/dev/null/x"), "Not a directory", id="no place to write"),
    ],
)
def test_bad_input_is_one_sentence(command: list[str], change: tuple[str, str], sentence: str) -> None:
    ended = run(command, *change)
    assert ended.returncode == REFUSED
    assert sentence in ended.stderr
    assert ended.stderr.count("\n") == 1


async def label_impatiently(folder: Path, out: Path, address: str, on_done: OnDone = lambda _: None) -> LabelSummary:
    """Label in this process: the command line would wait minutes for a server to come back."""
    job = LabelJob(folder, out, worklist_from_names(folder, "folder"))
    async with AsyncClient(address, retry=RetryPolicy(attempts=2, first_wait_s=0.01)) as client:
        return await label_folder(job, client, workers=1, on_done=on_done)


async def test_a_server_that_goes_away_does_not_hold_the_run_up(folder: Path, url: str, tmp_path: Path) -> None:
    done = 0
    with ExitStack() as server:
        address = server.enter_context(live_server(fake_app(FakeService())))

        def stop_after_ten(failure: Failure | None) -> None:
            nonlocal done
            done += 1
            if done == 10:
                server.close()

        stopped = await label_impatiently(folder, tmp_path / "out", address, stop_after_ten)
    assert (stopped.labelled, len(stopped.failures)) == (10, 50)
    assert {failure.code for failure in stopped.failures} == {"unreachable"}

    resumed = await label_impatiently(folder, tmp_path / "out", url)
    assert (resumed.labelled, resumed.resumed, resumed.failures) == (60, 10, ())


async def test_an_image_that_breaks_the_connection_does_not_stop_the_others(
    folder: Path, url: str, fake: FakeService, tmp_path: Path
) -> None:
    fake.replies = {"03.jpg": [CUT] * 100}
    summary = await label_impatiently(folder, tmp_path / "out", url)
    assert summary.labelled == 57
    assert {(failure.image[-6:], failure.code) for failure in summary.failures} == {("03.jpg", "unreachable")}


async def test_a_bundle_that_changes_during_the_run_stops_it(
    folder: Path, url: str, fake: FakeService, tmp_path: Path
) -> None:
    def change_bundle(failure: Failure | None) -> None:
        fake.digest = "e" * 64

    with pytest.raises(
        JournalError, match="the server has changed its bundle from d* to e* during the run: serve the "
    ):
        await label_impatiently(folder, tmp_path / "out", url, change_bundle)
    assert len(journaled(tmp_path / "out")) == 1
    fake.digest = "d" * 64
    summary = await label_impatiently(folder, tmp_path / "out", url)
    assert (summary.resumed, summary.labelled) == (1, 60), "as the sentence says"


def test_shrunk_images_get_results_in_their_own_pixels(tiny_service: httpx.Client, tmp_path: Path) -> None:
    patches = (((32, 32, 96, 96), RED), ((160, 144, 224, 224), RED))
    folder = tmp_path / "in" / "red-bolt"
    folder.mkdir(parents=True)
    quarter_size = [((x0 // 4, y0 // 4, x1 // 4, y1 // 4), rgb) for (x0, y0, x1, y1), rgb in patches]
    image_hwc_u8 = np.kron(picture(*quarter_size), np.ones((4, 4, 1), np.uint8))
    (folder / "large.png").write_bytes(encoded(image_hwc_u8))
    command = [sys.executable, "-m", "weaksam", "label", str(tmp_path / "in"), "--tags-from", "folder"]
    command += ["--server", str(tiny_service.base_url), "--out", str(tmp_path / "out")]
    ended = run(command, "--max-side", "64")
    assert ended.returncode == DONE, ended.stderr
    dataset = COCO(str(tmp_path / "out" / "dataset.json"))
    assert [(row["width"], row["height"]) for row in dataset.dataset["images"]] == [(256, 256)]
    found = sorted(row["bbox"] for row in dataset.dataset["annotations"])
    wanted = [[x0, y0, x1 - x0, y1 - y0] for (x0, y0, x1, y1), _ in patches]
    assert np.abs(np.array(found) - np.array(wanted)).max() <= 4
    for row in dataset.dataset["annotations"]:
        assert dataset.annToMask(row).shape == (256, 256)
        assert row["area"] == pytest.approx(row["bbox"][2] * row["bbox"][3], rel=0.05)

    ended = run(command, "--max-side", "128")
    assert ended.returncode == REFUSED
    assert "--max-side was 64, now it is" in ended.stderr
