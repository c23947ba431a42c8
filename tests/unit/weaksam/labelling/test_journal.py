"""The journal: what was stored is there again, whatever the run ended with."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
from pathlib import Path

import pytest

from tests.support.fakes.answers import detect_result
from weaksam.labelling.journal import Journal, JournalError, RunIdentity, Stamp, open_journal, reopen_journal, stamp_of
from weaksam.schemas import BundleInfo

STAMP = Stamp(3, 4, ("Bolt",))
IDENTITY = RunIdentity(BundleInfo(name="fake", version="1", digest="d" * 64), {"min_score": None}, ("Bolt",))


def add(journal: Journal, *images: str) -> None:
    for image in images:
        journal.add(image, STAMP, detect_result(image.encode(), ["Bolt"]))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal of two images."""
    with open_journal(tmp_path / "journal.jsonl", IDENTITY) as journal:
        add(journal, "a.jpg", "b.jpg")
    return tmp_path / "journal.jsonl"


def test_answers_come_back(path: Path) -> None:
    with open_journal(path, IDENTITY) as journal:
        assert journal.holds("a.jpg", STAMP)
        assert not journal.holds("c.jpg", STAMP)
        assert journal.result("b.jpg") == detect_result(b"b.jpg", ["Bolt"])


def test_images_with_other_tags_than_before_do_not_count_as_done(path: Path) -> None:
    with open_journal(path, IDENTITY) as journal:
        assert journal.count({"a.jpg": STAMP.tags, "b.jpg": ("Nut",), "c.jpg": STAMP.tags}) == 1


@pytest.mark.parametrize("cut_bytes", [1, 20, 300], ids=lambda count: f"{count} bytes lost")
def test_a_torn_last_line_is_cut_off(path: Path, cut_bytes: int) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut_bytes])
    with open_journal(path, IDENTITY) as journal:
        assert journal.holds("a.jpg", STAMP)
        assert not journal.holds("b.jpg", STAMP)
        add(journal, "b.jpg")
    assert path.read_bytes() == whole


def test_a_torn_first_line_begins_anew(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:10])
    with open_journal(path, IDENTITY) as journal:
        add(journal, "a.jpg", "b.jpg")
    assert path.read_bytes() == whole


def test_damage_in_the_middle_is_named(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\0\0\0\n" + lines[2])
    with pytest.raises(JournalError, match="line 2 is damaged: remove the line"), open_journal(path, IDENTITY):
        pass
    path.write_bytes(lines[0] + lines[2])
    with open_journal(path, IDENTITY) as journal:
        assert (journal.holds("a.jpg", STAMP), journal.holds("b.jpg", STAMP)) == (False, True)


def test_damage_in_the_first_line_ends_the_run(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"\0\0\0\n" + lines[1])
    with pytest.raises(JournalError, match="line 1 is damaged: give another --out"), open_journal(path, IDENTITY):
        pass


def test_a_later_answer_replaces_an_earlier_one(path: Path) -> None:
    changed = Stamp(9, 9, ("Nut",))
    with open_journal(path, IDENTITY) as journal:
        journal.add("a.jpg", changed, detect_result(b"new", ["Nut"]))
    with open_journal(path, IDENTITY) as journal:
        assert journal.holds("a.jpg", changed)
        assert not journal.holds("a.jpg", STAMP)
        assert journal.result("a.jpg").detections[0].label == "Nut"


def test_reading_between_writing_does_not_move_the_end(path: Path) -> None:
    with open_journal(path, IDENTITY) as journal:
        journal.result("a.jpg")
        add(journal, "c.jpg")
        journal.result("a.jpg")
        add(journal, "d.jpg")
    with open_journal(path, IDENTITY) as journal:
        assert [journal.result(image).image.sha256 for image in ("c.jpg", "d.jpg")] == [
            detect_result(content, []).image.sha256 for content in (b"c.jpg", b"d.jpg")
        ]


OTHER_BUNDLE = RunIdentity(BundleInfo(name="mine", version="2", digest="e" * 64), {"min_score": None}, ("Bolt",))
OTHER_OPTIONS = RunIdentity(IDENTITY.bundle, {"min_score": 0.5}, ("Bolt",))
OTHER_SHARD = RunIdentity(IDENTITY.bundle, IDENTITY.options, ("Bolt",), "1/4")


@pytest.mark.parametrize(
    ("identity", "sentence"),
    [
        pytest.param(
            OTHER_BUNDLE, r"bundle fake 1 \(dddddddddddd\), the server has mine 2 .* another --out", id="bundle"
        ),
        pytest.param(OTHER_OPTIONS, "--min-score was not given, now it is 0.5", id="options"),
        pytest.param(OTHER_SHARD, "shard none, all images, now it is 1/4: .* another --out", id="shard"),
    ],
)
def test_answers_of_different_runs_do_not_mix(path: Path, identity: RunIdentity, sentence: str) -> None:
    before = path.read_bytes()
    with pytest.raises(JournalError, match=sentence), open_journal(path, identity):
        pass
    assert path.read_bytes() == before


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"some": "log"}\n', encoding="utf-8")
    with pytest.raises(JournalError, match="no journal of this release"), open_journal(path, IDENTITY):
        pass


@pytest.mark.parametrize(
    ("line", "written", "instead", "sentence"),
    [
        pytest.param(
            0,
            '"labels":["Bolt"]',
            '"labels":"Bolt"',
            "1 is damaged: labels is 'Bolt': must be a list",
            id="labels",
        ),
        pytest.param(0, '"shard":null', '"shard":1', "line 1 is damaged: shard is 1: must be a text", id="shard"),
        pytest.param(0, '"name":"fake",', "", "line 1 is damaged: bundle.name is missing", id="bundle"),
        pytest.param(1, '"size_bytes":3', '"size_bytes":"3"', "2 is damaged: stamp.size_bytes is '3': ", id="stamp"),
        pytest.param(2, '"image":"b.jpg",', "", "line 3 is damaged: image is missing", id="image"),
    ],
)
def test_fields_of_the_wrong_kind_are_named(path: Path, line: int, written: str, instead: str, sentence: str) -> None:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    assert written in lines[line]
    lines[line] = lines[line].replace(written, instead, 1)
    path.write_text("".join(lines), encoding="utf-8")
    with pytest.raises(JournalError, match=sentence), open_journal(path, IDENTITY):
        pass


def test_one_run_at_a_time(path: Path) -> None:
    with (
        open_journal(path, IDENTITY),
        pytest.raises(JournalError, match="in use by another run"),
        open_journal(path, IDENTITY),
    ):
        pass


def test_a_stamp_tells_a_changed_image_and_changed_tags(tmp_path: Path) -> None:
    image = tmp_path / "a.jpg"
    image.write_bytes(b"one")
    before = stamp_of(image, ("Bolt",))
    assert stamp_of(image, ("Bolt",)) == before
    assert stamp_of(image, ("Nut",)) != before
    image.write_bytes(b"longer")
    assert stamp_of(image, ("Bolt",)) != before


def test_a_file_system_without_locks_is_one_sentence(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The only stand-in for a system call here: no file system at hand refuses locks."""

    def refuse(file: object, kind: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    sentence = r"journal\.jsonl cannot be locked, as some network folders cannot \(.*\): give an --out on a disk"
    with pytest.raises(JournalError, match=sentence), open_journal(path, IDENTITY):
        pass
    with pytest.raises(JournalError, match=sentence), reopen_journal(path):
        pass


def test_a_full_disk_leaves_no_half_line(path: Path) -> None:
    whole = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open_journal(path, IDENTITY) as journal:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 40, hard))
        try:
            with pytest.raises(OSError, match="File too large"):
                add(journal, "c.jpg")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert not journal.holds("c.jpg", STAMP)
        assert path.read_bytes() == whole
        add(journal, "c.jpg")
        assert journal.result("c.jpg") == detect_result(b"c.jpg", ["Bolt"])


def test_a_name_that_looks_like_the_result_does_not_confuse_the_reader(path: Path) -> None:
    odd = 'a","answer":{.jpg'
    stamp = Stamp(1, 2, ('x","answer":{"y',))
    with open_journal(path, IDENTITY) as journal:
        journal.add(odd, stamp, detect_result(b"odd", ["Bolt"]))
    with open_journal(path, IDENTITY) as journal:
        assert journal.holds(odd, stamp)
        assert journal.result(odd) == detect_result(b"odd", ["Bolt"])


@pytest.mark.parametrize(("written", "instead"), [('"sha256":"', '"sha":"'), ('"answer":', '"result":')])
def test_a_damaged_result_is_named_when_it_is_read(path: Path, written: str, instead: str) -> None:
    path.write_text(path.read_text().replace(written, instead))
    with open_journal(path, IDENTITY) as journal, pytest.raises(JournalError, match="the result of a.jpg is damaged"):
        journal.result("a.jpg")
