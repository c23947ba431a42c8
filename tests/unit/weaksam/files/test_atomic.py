"""Files that are whole or not there, whatever happens to who writes them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from weaksam.errors import UserError
from weaksam.files.atomic import (
    read_json,
    remove_drafts,
    replacing,
    replacing_bytes,
    replacing_files,
    write_json,
    write_text,
)

OTHER_WRITER = (
    "import sys, pathlib; from weaksam.files.atomic import write_text; write_text(pathlib.Path(sys.argv[1]), 'other')"
)


def test_a_file_takes_the_place_of_the_one_before_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    for text in ("before\n", "grün\r\nnew\n"):
        write_text(path, text)
        assert path.read_bytes() == text.encode("utf-8")
    assert list(tmp_path.iterdir()) == [path]


def test_json_is_indented_takes_the_place_of_the_one_before_and_makes_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.json"
    for values in ({"before": 0}, {"images": 2, "names": ["grün"]}):
        write_json(path, values)
    assert path.read_bytes() == b'{\n "images": 2,\n "names": [\n  "gr\\u00fcn"\n ]\n}\n'
    with pytest.raises(TypeError):
        write_json(path, {"path": tmp_path})
    assert json.loads(path.read_text())["images"] == 2
    assert list(path.parent.iterdir()) == [path]


def test_a_link_stays_and_a_pipe_is_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "new"
    writer = [sys.executable, "-c", OTHER_WRITER, "/dev/stdout"]
    assert subprocess.run(writer, capture_output=True, text=True, check=True).stdout == "other"
    assert Path("/dev/stdout").is_symlink()


def write_half_a_text(path: Path) -> None:
    with replacing(path) as file:
        file.write("half")
        raise KeyboardInterrupt


def write_half_the_bytes(path: Path) -> None:
    with replacing_bytes(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt


@pytest.mark.parametrize("before", ["old", None], ids=["replacing", "new"])
def test_a_block_that_fails_leaves_what_was_there_and_no_draft(tmp_path: Path, before: str | None) -> None:
    path = tmp_path / "report.txt"
    if before is not None:
        path.write_text(before)
    with pytest.raises(KeyboardInterrupt):
        write_half_a_text(path)
    with pytest.raises(KeyboardInterrupt):
        write_half_the_bytes(path)
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "half of a pair: \ud800")
    left = [file.read_text() for file in tmp_path.iterdir()]
    assert left == ([] if before is None else [before])


def test_two_processes_that_write_one_file_do_not_meet(tmp_path: Path, repository_dir: Path) -> None:
    path = tmp_path / "report.txt"
    with replacing(path) as file:
        file.write("ours, ")
        file.flush()
        subprocess.run([sys.executable, "-c", OTHER_WRITER, path], cwd=repository_dir, check=True)
        assert path.read_text() == "other"
        file.write("whole")
    assert path.read_text() == "ours, whole"
    assert list(tmp_path.iterdir()) == [path]


def test_files_come_together_or_not_at_all(tmp_path: Path) -> None:
    for name, text in (("graph", "old"), ("manifest", "old"), ("notes", "kept")):
        (tmp_path / name).write_text(text)

    def fail() -> None:
        with replacing_files(tmp_path, "manifest") as draft:
            (draft / "graph").write_text("half")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "graph": "old",
        "manifest": "old",
        "notes": "kept",
    }
    with replacing_files(tmp_path, "manifest") as draft:
        for name in ("manifest", "graph"):
            (draft / name).write_text("new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "graph": "new",
        "manifest": "new",
        "notes": "kept",
    }


def test_the_draft_of_a_killed_process_is_no_part_of_the_next(tmp_path: Path) -> None:
    (tmp_path / ".draft").mkdir()
    (tmp_path / ".draft" / "graph").write_text("half")
    with replacing_files(tmp_path, "manifest") as draft:
        (draft / "manifest").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["manifest"]


def test_drafts_of_killed_processes_are_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (".resume.pt.14558", ".config.json.7", "resume.pt", ".hidden", "log.1"):
        (tmp_path / name).write_text("x")
    remove_drafts(tmp_path, {"config.json", "hidden"})
    assert {path.name for path in tmp_path.iterdir()} == {".resume.pt.14558", "resume.pt", ".hidden", "log.1"}
    remove_drafts(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"resume.pt", ".hidden", "log.1"}


def test_a_damaged_json_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    write_json(path, {"steps": 5})
    assert read_json(path) == {"steps": 5}
    path.write_text(path.read_text()[:-4])
    with pytest.raises(UserError, match=r"config\.json is damaged .*: copy it again, or remove it and repeat"):
        read_json(path)
