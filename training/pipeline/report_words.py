"""The words of a run's report that not everyone knows, explained on the page itself."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

from weaksam.files.html_page import section

ANCHOR = "words"
# In the order of the table. A word is explained only on a page that has it.
MEANINGS = {
    "tags given, no tags given": (
        "What is found if the right tags of an image come with it, or if the models see the image alone."
    ),
    "IoU": "Overlap of two boxes or masks: what both cover, divided by what either covers. 1 is the same place.",
    "AP50, average precision": (
        "1 if all objects of a class are found before any wrong box, best score first. It is the "
        "mean over the classes. A box is right from IoU 0.5 on; with AP75 from 0.75 on."
    ),
    "AP50:95": "The mean of the average precision at ten IoUs, from 0.5 to 0.95: it asks for exact boxes as well.",
    "11 points": "The older rule of the VOC challenge for average precision, for comparison with published figures.",
    "CorLoc": "Correct localisation: how often the best box of a tag lies on an object of it, with IoU 0.5 or more.",
    "naive baseline": (
        "What the detectors have to beat: for every tag the one box that the segmenter is surest of, whatever it shows."
    ),
    "recall": "The share of the true objects that are found. Precision beside it: the share of boxes that are right.",
    "tight": "With IoU 0.75 or more, and not only 0.5.",
    "F1": "Precision and recall in one number: 1 if all objects of an image are found and no box is wrong.",
    "mAP": "Of tags: 1 if the classifier scores every image with a tag above every image without it.",
    "top1": (
        "Of tags: how often the tag that the classifier is surest of is the right one, in images with one tag. As a "
        "rule of pseudo ground truth: the best box of each tag alone."
    ),
    "CAM": "Class activation map: where in an image the classifier sees a class. Red is most, blue is least.",
    "pointing": "How often the highest point of a tag's map lies in a box of the tag.",
    "peaks": "High points of a map. The segmenter is asked for a mask at each of them.",
    "prompt map": "Where the segmenter itself expects that a point gives a good mask.",
    "proposals": "Boxes around the segmenter's masks. The weak detector chooses among them.",
    "weak detector": "The network that learns from tags alone which proposals show a tag.",
    "PGT, pseudo ground truth": (
        "Boxes of the weak detector that a rule keeps. The retrained detector learns from them as "
        "if a person had drawn them."
    ),
    "instances": "Objects of pseudo ground truth.",
    "keep_share": "Setting of the rule: a further box of a tag stays if its score comes this close to the best one's.",
    "min_score": "Setting of the rule: boxes with a lower score are left out.",
    "retrained detector": "It learns from pseudo ground truth. In the service it runs before the weak detector.",
    "losses": "What a network gets wrong, step by step. The curves should fall.",
    "RoI drop": "Boxes of the pseudo ground truth that the network has come to disagree with are not learnt from.",
    "error rate": "The share of boxes that lie on no true object of their class. Nothing is learnt from it.",
}
_TAG = re.compile(r"<[^>]*>")
_SETTINGS = re.compile(r"<pre>.*?</pre>", re.DOTALL)


def words_section(parts: Iterable[str]) -> str:
    """Return the section with the words that stand in these parts of the page; nothing if there are none."""
    texts = [html.unescape(_TAG.sub(" ", _SETTINGS.sub(" ", part))) for part in parts]
    rows = "".join(
        f"<tr><th>{html.escape(word)}</th><td>{html.escape(meaning)}</td></tr>"
        for word, meaning in MEANINGS.items()
        if any(_stands_in(word, text) for text in texts)
    )
    table = f'<table class="words">{rows}</table>'
    return f'<div id="{ANCHOR}">{section("What the words mean", table)}</div>' if rows else ""


def words_link() -> str:
    """Return a paragraph that leads to the section."""
    return f'<p><a href="#{ANCHOR}">What the words on this page mean</a></p>'


def _stands_in(word: str, text: str) -> bool:
    return any(re.search(rf"\b{re.escape(form)}(?![\w:])", text) for form in word.split(", "))
