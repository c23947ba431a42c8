from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fakes.answers import detect_result
from tests.support.fakes.fake_service import LABELS
from weaksam.labelling import doubt
from weaksam.labelling.outputs import FAILURES, LEDGER, Outcome, write_files
from weaksam.labelling.report import read_rows, write_failures
from weaksam.labelling.worklist import Failure
from weaksam.schemas import BundleInfo, DetectResult

IMAGES = ("a.jpg", "grün.jpg", "c.jpg")


def outcome(read: Counter[str]) -> Outcome:
    def result(image: str) -> DetectResult:
        read[image] += 1
        return detect_result(image.encode(), ["Bolt", "Nut"])

    bundle = BundleInfo(name="fake", version="1", digest="d" * 64)
    failures = [Failure("schräg.jpg", "unreadable", "it cannot be read")]
    return Outcome(LABELS, bundle, {"min_score": 0.5}, IMAGES, frozenset(IMAGES[:2]), failures, result)


def test_each_result_is_read_once(tmp_path: Path) -> None:
    read = Counter[str]()
    assert write_files(outcome(read), tmp_path) == 4
    assert read == {"a.jpg": 1, "grün.jpg": 1}


def test_each_result_is_judged_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged, doubts = Counter[str](), doubt._doubts

    def counted(result: DetectResult) -> Iterator[doubt.Doubt]:
        judged[result.image.sha256] += 1
        return doubts(result)

    monkeypatch.setattr(doubt, "_doubts", counted)
    write_files(outcome(Counter()), tmp_path)
    assert list(judged.values()) == [1, 1]


def test_the_lists_are_tables_that_excel_takes_for_utf_8(tmp_path: Path) -> None:
    write_files(outcome(Counter()), tmp_path)
    for name in (LEDGER, FAILURES):
        assert (tmp_path / name).read_bytes().startswith(b"\xef\xbb\xbfimage,")
    assert [row["image"] for row in read_rows(tmp_path / LEDGER)] == ["a.jpg", "a.jpg", "grün.jpg", "grün.jpg"]
    assert read_rows(tmp_path / FAILURES) == [
        {"image": "schräg.jpg", "code": "unreadable", "message": "it cannot be read"}
    ]


def test_lists_of_earlier_releases_are_read_too(tmp_path: Path) -> None:
    with (tmp_path / LEDGER).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("image", "tag"), ("grün.jpg", "Bolt")])
    assert read_rows(tmp_path / LEDGER) == [{"image": "grün.jpg", "tag": "Bolt"}]


def test_no_cell_is_a_formula_and_rows_are_read_back(tmp_path: Path) -> None:
    failures = [Failure("=cmd|calc.jpg", "unreadable", "@x cannot be read")]
    write_failures(failures, tmp_path / FAILURES)
    assert (tmp_path / FAILURES).read_text(encoding="utf-8-sig").splitlines()[1:] == [
        "./=cmd|calc.jpg,unreadable, @x cannot be read"
    ]
    assert [Failure(**row) for row in read_rows(tmp_path / FAILURES)] == failures


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_line_ends_within_a_name_are_read_back(tmp_path: Path, end: str) -> None:
    failures = [Failure(f"a{end}b.jpg", "unreadable", f"{end}it{end}cannot be read{end}")]
    write_failures(failures, tmp_path / FAILURES)
    assert [Failure(**row) for row in read_rows(tmp_path / FAILURES)] == failures
    assert (tmp_path / FAILURES).read_bytes().startswith(b"\xef\xbb\xbfimage,code,message\n")
