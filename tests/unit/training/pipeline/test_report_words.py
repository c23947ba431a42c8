"""The words of a report are explained on its own page."""

from __future__ import annotations

import re

from training.metrics.plain_names import PLAIN_NAMES
from training.pipeline.report_words import MEANINGS, words_section
from weaksam.files.html_page import figure, section, sentence_list, table


def test_words_that_stand_on_the_page_are_explained_and_no_others() -> None:
    figures = section("Figures", table(["", "wsod"], [["best box on its object (CorLoc)", "0.5"]]))
    page = words_section([sentence_list(["The average precision is 0.5."]), figures])
    explained = re.findall("<th>(.+?)</th>", page)
    assert explained == ["AP50, average precision", "CorLoc"]
    assert "how often the best box of a tag lies on an object of it" in page


def test_neither_settings_nor_the_bytes_of_images_count_as_words() -> None:
    assert words_section(["<pre>{'keep_share': 0.3, 'F1': 'IoU'}</pre>", figure(b"IoU", "a photo", "jpeg")]) == ""


def test_each_abbreviation_among_the_names_of_figures_has_its_meaning() -> None:
    words = {word for words in MEANINGS for word in words.split(", ")}
    named = {word for name in PLAIN_NAMES.values() for word in re.findall(r"\((.+?)\)", name)}
    assert named >= {"AP50", "CorLoc", "mAP", "top1"}
    assert named - words == set()
