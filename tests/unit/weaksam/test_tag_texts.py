"""How texts are split into tags."""

from __future__ import annotations

import pytest

from weaksam.tag_texts import split_sent_tags, split_written_tags


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        pytest.param("bolt", ("bolt",), id="one"),
        pytest.param(" bolt , wrench;nut\nclip ", ("bolt", "wrench", "nut", "clip"), id="every separator"),
        pytest.param("bolt,bolt,,", ("bolt",), id="doubled and empty"),
        pytest.param("adjustable clamp", ("adjustable clamp",), id="a space is part of the tag"),
        pytest.param("", (), id="nothing"),
    ],
)
def test_tags_that_a_person_wrote(text: str, tags: tuple[str, ...]) -> None:
    assert split_written_tags(text) == tags


def test_tags_that_a_program_sent_hold_semicolons() -> None:
    assert split_sent_tags("nut;bolt,wire") == ["nut;bolt", "wire"]
