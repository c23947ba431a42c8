"""What the system refuses, with the option that named the path and what to do."""

from __future__ import annotations

import errno
import os

import pytest

from weaksam.cli.os_errors import REMEDIES, os_error_sentence


def refusal(number: int, path: str | None) -> OSError:
    return OSError(number, os.strerror(number), path)


@pytest.mark.parametrize(
    ("number", "path", "arguments", "sentence"),
    [
        pytest.param(
            errno.EEXIST, "f", ["label", "--out", "f"], "--out: File exists: 'f': it is a file: name a", id="value"
        ),
        pytest.param(errno.ENOTDIR, "f/x", ["--out=f/"], "--out: Not a directory: 'f/x': a file stands", id="below"),
        pytest.param(
            errno.ENOENT, "no.jpg", ["detect", "no.jpg"], "No such file or directory: 'no.jpg': check", id="plain"
        ),
        pytest.param(errno.EISDIR, "d", ["--tags", "d2"], "Is a directory: 'd': it is a folder: name a", id="alike"),
        pytest.param(errno.EIO, "d", [], "Input/output error: 'd'", id="no remedy"),
        pytest.param(errno.EPIPE, None, ["--out", "f"], "Broken pipe", id="no path"),
    ],
)
def test_a_refusal_names_the_option_the_path_and_the_remedy(
    number: int, path: str | None, arguments: list[str], sentence: str
) -> None:
    assert os_error_sentence(refusal(number, path), arguments).startswith(sentence)


def test_no_sentence_has_a_number_of_the_system() -> None:
    assert not any("Errno" in os_error_sentence(refusal(number, "p"), []) for number in REMEDIES)
    assert os_error_sentence(OSError("out: make room"), []) == "out: make room"
