"""A folder labelled in parts, put together again: the files of one run over all of it."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import shutil
from pathlib import Path

import pytest
import typer

from tests.support.fakes.fake_service import LABELS, FakeService, Reply
from weaksam.cli.labelling.label import label, label_merge
from weaksam.client import AsyncClient
from weaksam.errors import UserError
from weaksam.formats.coco import DATASET, RESULTS
from weaksam.labelling.journal import JournalError
from weaksam.labelling.merge import merge_shards
from weaksam.labelling.outputs import CONTACT_SHEET, FAILURES, LEDGER
from weaksam.labelling.run import LabelJob, label_folder
from weaksam.labelling.shard import Shard, shard_worklist
from weaksam.labelling.worklist import worklist_from_table
from weaksam.retry import RetryPolicy

FILES = (DATASET, RESULTS, LEDGER, FAILURES)
SHARDS = 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty images; three without tags, and four rows without an image."""
    (tmp_path / "in" / "day1").mkdir(parents=True)
    rows = ["file,tags"]
    for number in range(40):
        name = f"day1/{number:02}.jpg"
        (tmp_path / "in" / name).write_bytes(f"picture {number}".encode())
        if number % 15 != 7:
            rows.append(f"{name},{';'.join(LABELS[: 1 + number % 3])}")
    rows += [f"gone{number}.jpg,Bolt" for number in range(4)]
    (tmp_path / "tags.csv").write_text("\n".join(rows))
    return tmp_path / "in"


def run(folder: Path, out: Path, url: str, shard: Shard | None = None, min_score: float | None = None) -> None:
    worklist = worklist_from_table(folder, folder.parent / "tags.csv")
    part = worklist if shard is None else shard_worklist(worklist, shard)
    job = LabelJob(folder, out, part, min_score, shard=shard)

    async def send() -> None:
        async with AsyncClient(url, retry=RetryPolicy(attempts=1)) as client:
            await label_folder(job, client, workers=2, on_done=lambda _: None)

    asyncio.run(send())


def run_shards(folder: Path, out: Path, url: str) -> list[Path]:
    parts = [Shard(index, SHARDS) for index in range(SHARDS)]
    for part in parts:
        run(folder, out / str(part.index), url, part)
    return [out / str(part.index) for part in parts]


def test_shards_are_disjoint_and_together_the_whole(folder: Path, url: str, fake: FakeService, tmp_path: Path) -> None:
    broken = {"03.jpg": Reply(500, "internal_error"), "21.jpg": Reply(415, "not_an_image")}
    fake.replies = {name: [reply] for name, reply in broken.items()}
    run(folder, tmp_path / "whole", url)
    fake.seen.clear()
    fake.replies = {name: [reply] for name, reply in broken.items()}
    shards = run_shards(folder, tmp_path / "shards", url)
    assert len(fake.seen) == len(set(fake.seen)) == 37, "each tagged picture went to one shard"

    # Out of order, as the folders of many machines come.
    summary = merge_shards(shards[::-1], tmp_path / "merged")
    assert (summary.labelled, summary.failed) == (35, 9)
    for name in FILES:
        assert (tmp_path / "merged" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert sorted(path.name for path in (tmp_path / "merged").iterdir()) == sorted([*FILES, CONTACT_SHEET])
    assert "data:image/jpeg" not in (tmp_path / "merged" / CONTACT_SHEET).read_text(encoding="utf-8")
    annotations = [len(json.loads((shard / DATASET).read_text())["annotations"]) for shard in shards]
    assert all(annotations)
    assert sum(annotations) == summary.detections == len(json.loads((tmp_path / "whole" / RESULTS).read_text()))


def test_a_shard_that_is_resumed_merges_as_well(folder: Path, url: str, fake: FakeService, tmp_path: Path) -> None:
    run(folder, tmp_path / "whole", url)
    fake.replies = {f"{number:02}.jpg": [Reply(500, "internal_error")] for number in range(0, 40, 3)}
    run_shards(folder, tmp_path / "shards", url)
    shards = run_shards(folder, tmp_path / "shards", url)
    merge_shards(shards, tmp_path / "merged")
    for name in FILES:
        assert (tmp_path / "merged" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_what_is_no_image_takes_no_id(folder: Path, url: str, tmp_path: Path) -> None:
    (folder / "day1" / os.fsdecode(b"gr\xfcn.jpg")).write_bytes((folder / "day1" / "05.jpg").read_bytes())
    os.mkfifo(folder / "day1" / "000.jpg")
    run(folder, tmp_path / "whole", url)
    merge_shards(run_shards(folder, tmp_path / "shards", url), tmp_path / "merged")
    for name in FILES:
        assert (tmp_path / "merged" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_an_image_that_is_gone_since_is_not_merged(folder: Path, url: str, tmp_path: Path) -> None:
    run_shards(folder, tmp_path / "shards", url)
    (folder / "day1" / "05.jpg").unlink()
    shards = run_shards(folder, tmp_path / "shards", url)
    run(folder, tmp_path / "whole", url)
    merge_shards(shards, tmp_path / "merged")
    for name in FILES:
        assert (tmp_path / "merged" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_what_is_not_one_whole_run_is_refused(folder: Path, url: str, fake: FakeService, tmp_path: Path) -> None:
    shards = run_shards(folder, tmp_path / "shards", url)
    out = tmp_path / "merged"
    with pytest.raises(JournalError, match="the shards given are 0, 1, 2 of 0 to 3"):
        merge_shards(shards[:3], out)
    shutil.copytree(shards[3], tmp_path / "again")
    with pytest.raises(JournalError, match="the shards given are 0, 1, 2, 3, 3 of 0 to 3"):
        merge_shards([*shards, tmp_path / "again"], out)
    with pytest.raises(JournalError, match="is itself one of the shards"):
        merge_shards(shards, shards[0])
    (shards[2] / LEDGER).rename(tmp_path / "ledger.csv")
    with pytest.raises(JournalError, match="holds no ledger.csv"):
        merge_shards(shards, out)
    (tmp_path / "ledger.csv").rename(shards[2] / LEDGER)
    run(folder, tmp_path / "whole", url)
    with pytest.raises(JournalError, match="is no shard but a run over a whole folder"):
        merge_shards([tmp_path / "whole"], out)
    run(folder, tmp_path / "of two", url, Shard(0, 2))
    with pytest.raises(JournalError, match="is shard 0/4, .* is 0/2"):
        merge_shards([*shards, tmp_path / "of two"], out)
    run(folder, tmp_path / "other options", url, Shard(3, 4), min_score=0.9)
    with pytest.raises(JournalError, match="their options differ"):
        merge_shards([*shards[:3], tmp_path / "other options"], out)
    fake.digest = "e" * 64
    run(folder, tmp_path / "other bundle", url, Shard(3, 4))
    with pytest.raises(JournalError, match="their bundle differ"):
        merge_shards([*shards[:3], tmp_path / "other bundle"], out)
    assert not out.exists()


def as_spreadsheets_save(path: Path, encoding: str) -> None:
    """Save a list with semicolons, as spreadsheets do where the comma is in numbers."""
    rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=";").writerows(rows)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_lists_that_a_spreadsheet_saved_are_merged(folder: Path, url: str, tmp_path: Path, encoding: str) -> None:
    shards = run_shards(folder, tmp_path / "shards", url)
    merge_shards(shards, tmp_path / "before")
    for name in (LEDGER, FAILURES):
        as_spreadsheets_save(shards[1] / name, encoding)
    merge_shards(shards, tmp_path / "after")
    for name in FILES:
        assert (tmp_path / "after" / name).read_bytes() == (tmp_path / "before" / name).read_bytes(), name


CHANGED = {
    "empty": (LEDGER, b"", "lacks the column 'image': give the command"),
    "other letters": (LEDGER, "image,tag\nü.jpg,x\n".encode("cp1252"), "cannot be read as a CSV in UTF-8"),
    "an image of its own": (LEDGER, b"image,tag\nnew.jpg,x\n", "holds no result of new.jpg: give the command"),
    "a column less": (FAILURES, b"image,code\na.jpg,x\n", "lacks the column 'message'"),
    "a field less": (FAILURES, b"image,code,message\na.jpg\n", "row 2: has fewer fields than the first line names"),
}


@pytest.mark.parametrize(("name", "content", "told"), CHANGED.values(), ids=list(CHANGED))
def test_lists_that_were_changed_are_refused(
    folder: Path, url: str, tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    shards = run_shards(folder, tmp_path / "shards", url)
    (shards[1] / name).write_bytes(content)
    with pytest.raises(UserError, match=told):
        merge_shards(shards, tmp_path / "merged")


def test_the_command_line_does_the_same(
    folder: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(folder, tmp_path / "whole", url)
    for index in range(2):
        with pytest.raises(typer.Exit):
            label(
                str(folder),
                tmp_path / str(index),
                tags=tmp_path / "tags.csv",
                shard=f"{index}/2",
                server=url,
                max_error_rate=1,
            )
    label_merge([tmp_path / "0", tmp_path / "1"], tmp_path / "merged")
    assert "37 images labelled" in capsys.readouterr().out
    for name in FILES:
        assert (tmp_path / "merged" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_more_shards_than_images(folder: Path, url: str, tmp_path: Path) -> None:
    for path in sorted((folder / "day1").iterdir())[2:]:
        path.unlink()
    run(folder, tmp_path / "whole", url)
    shards = run_shards(folder, tmp_path / "shards", url)
    merge_shards(shards, tmp_path / "merged")
    assert (tmp_path / "merged" / DATASET).read_bytes() == (tmp_path / "whole" / DATASET).read_bytes()


def test_the_run_of_another_shard_is_not_gone_on_with(folder: Path, url: str, tmp_path: Path) -> None:
    run(folder, tmp_path / "out", url, Shard(0, 4))
    with pytest.raises(JournalError, match="is about shard 0/4, now it is 1/4"):
        run(folder, tmp_path / "out", url, Shard(1, 4))
