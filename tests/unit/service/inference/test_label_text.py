from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw

from service.inference.label_text import SCRIPTS, LabelText, label_text

LABELS = {
    "Chinese": "扳手",
    "Japanese": "スパナ",
    "Korean": "렌치",
    "Cyrillic": "гаечный ключ",
    "Greek": "κλειδί",
    "Arabic": "مفتاح ربط",
    "Hebrew": "מפתח",
    "Hindi": "रिंच",
    "Thai": "ประแจ",
    "accents": "clé à molette, ß, ø",
    "arrow": "left → right",
    "mixed": "M8 扳手 ключ",
}


def drawn(text: LabelText) -> npt.NDArray[np.uint8]:
    image = Image.new("RGB", (max(1, text.width_px), text.height_px))
    text.draw(ImageDraw.Draw(image), (0, 0), (255, 255, 255))
    return np.asarray(image)[..., 0]


def glyph(character: str) -> bytes:
    return drawn(label_text(character, 0.5, 24, 1000)).tobytes()


@pytest.mark.parametrize("label", LABELS.values(), ids=list(LABELS))
def test_every_character_has_a_glyph_of_its_own(label: str) -> None:
    # Each font draws a character that it lacks as the same box, that of an unassigned one of the script.
    for character in set(label) - {" "}:
        first = next((first for first, last, _ in SCRIPTS if first <= ord(character) <= last), 0x41)
        missing = {0x2E80: "\u2fdf", 0x0600: "\u061d"}.get(first, "\u0378")
        assert glyph(character) != glyph(missing) or character == missing, f"{character!r} is a box"
    assert drawn(label_text(label, 0.5, 24, 1000)).any()


def test_arabic_letters_are_joined() -> None:
    ending_px = label_text("", 0.5, 24, 1000).width_px
    joined = label_text(LABELS["Arabic"], 0.5, 24, 1000).width_px - ending_px
    apart = sum(label_text(letter, 0.5, 24, 1000).width_px - ending_px for letter in LABELS["Arabic"])
    assert joined < apart


def test_hebrew_runs_from_right_to_left() -> None:
    word = LABELS["Hebrew"]
    last_px = label_text(word[-1], 0.5, 24, 1000).runs[0][1].getlength(word[-1])
    columns = slice(0, int(last_px) - 1)
    np.testing.assert_array_equal(
        drawn(label_text(word, 0.5, 24, 1000))[:, columns], drawn(label_text(word[-1], 0.5, 24, 1000))[:, columns]
    )


def test_a_label_that_is_too_wide_loses_its_end_and_keeps_its_score() -> None:
    text = label_text("a very long name of a thing", 0.93, 20, 150)
    assert text.width_px <= 150
    assert "".join(part for part, _ in text.runs).startswith("a very")
    assert "".join(part for part, _ in text.runs).endswith("… 93%")


def test_text_stays_within_its_height() -> None:
    for label in LABELS.values():
        text = label_text(label, 0.5, 24, 1000)
        image = Image.new("RGB", (text.width_px, text.height_px + 40))
        text.draw(ImageDraw.Draw(image), (0, 20), (255, 255, 255))
        rows = np.flatnonzero(np.asarray(image)[..., 0].any(axis=1))
        assert rows[0] >= 20, label
        assert rows[-1] < 20 + text.height_px, label
