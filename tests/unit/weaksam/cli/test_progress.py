from __future__ import annotations

import re
import time

import pytest

from weaksam.cli.progress import progress
from weaksam.labelling.worklist import Failure


def test_without_a_terminal_there_are_lines_also_while_nothing_gets_done(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(5, interval_s=0.1) as on_done:
        on_done(None)
        on_done(Failure("a.jpg", "unreadable", ""))
        time.sleep(0.5)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 2
    assert re.fullmatch(r"2 of 5 images, 1 failed, 1200 a minute", lines[0])
    assert lines[1] == "2 of 5 images, 1 failed, 0 a minute"


def test_a_short_run_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(1) as on_done:
        on_done(None)
    assert capsys.readouterr().err == ""
