"""The contact sheet of a labelling run: one HTML file that says what was reached and what to do next."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from weaksam.files.atomic import write_text
from weaksam.files.html_page import figure, html_page, section, sentence_list, table
from weaksam.labelling.doubt import Urgency
from weaksam.labelling.thumbnails import draw_thumbnail
from weaksam.labelling.worklist import Failure
from weaksam.schemas import DetectResult

SHOWN_DOUBTFUL, SHOWN_CLEAR = 48, 12
DOUBTFUL_REVIEW = 0.5
WEAK_FOUND_SHARE = 0.7
MAX_WEAK_CLASSES = 5
FEW_IMAGES = 20  # a class with fewer wants more of them before anything else; `weaksam data check` warns of it too


class Shown(NamedTuple):
    """An image that may be shown; the lowest `place` comes first."""

    place: float
    image: str
    result: DetectResult
    review: Urgency


@dataclass
class ClassTally:
    """What became of one class: images tagged with it, those of them in which it was found, and its objects."""

    tagged: int = 0
    found: int = 0
    objects: int = 0

    @property
    def found_share(self) -> float:
        return self.found / max(1, self.tagged)


@dataclass
class ContactSheet:
    """Gathers a run, image by image; keeps no result but those that are shown.

    Attributes:
        folder: of the images; None leaves the thumbnails out.
        server: address of the service that a review asks for corrections; None if it is not known.
        classes: by label.
        doubtful: images whose review is at least `DOUBTFUL_REVIEW`.
    """

    folder: Path | None
    server: str | None = None
    classes: dict[str, ClassTally] = field(default_factory=dict)
    images: int = 0
    objects: int = 0
    doubtful: int = 0
    _worst: list[Shown] = field(default_factory=list)
    _clear: list[Shown] = field(default_factory=list)

    def add(self, image: str, result: DetectResult, review: Urgency) -> None:
        """Count one image."""
        self.images += 1
        self.objects += len(result.detections)
        for row in result.tags:
            if row.label is not None:
                tally = self.classes.setdefault(row.label, ClassTally())
                tally.tagged += 1
                tally.found += row.status == "found"
                tally.objects += row.count
        if review.score >= DOUBTFUL_REVIEW:
            self.doubtful += 1
            self._worst = _first([*self._worst, Shown(-review.score, image, result, review)], SHOWN_DOUBTFUL)
        else:
            self._clear = _first([*self._clear, Shown(review.score, image, result, review)], SHOWN_CLEAR)

    def write(self, failures: Sequence[Failure], path: Path) -> None:
        """Write the sheet, with thumbnails of the most doubtful and of the clearest images of `folder`."""
        parts = [
            sentence_list(self._reached(failures)),
            section("What to do next", sentence_list(self._next_steps(failures, path.parent))),
            section("Look at these first", self._thumbnails(self._worst)),
            section("The clearest results", self._thumbnails(self._clear)),
            section("Classes", _class_table(self.classes)),
            section("Images without a result", _failure_table(failures)),
        ]
        write_text(path, html_page("Labelled images", parts))

    def _reached(self, failures: Sequence[Failure]) -> Iterator[str]:
        total = self.images + len(failures)
        yield f"{_count(self.images, 'image')} of {total} labelled, with {_count(self.objects, 'object')}."
        tagged, found = (sum(getattr(row, name) for row in self.classes.values()) for name in ("tagged", "found"))
        if tagged:
            yield f"{found} of {tagged} tags were found: {found / tagged:.0%}."
        yield f"{_count(self.doubtful, 'image')} should be checked by a person: a doubt of {DOUBTFUL_REVIEW} or more."

    def _next_steps(self, failures: Sequence[Failure], out: Path) -> Iterator[str]:
        if self.doubtful:
            yield f"Check the doubtful images, worst first: `{self._review_command(out)}`"
        for label, row in weak_classes(self.classes):
            few = f"To teach it, add images: {FEW_IMAGES} or more."
            many = "Confirm its boxes in the review, and train on them."
            yield f"{_found_words(label, row)} {few if row.tagged < FEW_IMAGES else many}"
        for code, count in Counter(failure.code for failure in failures).most_common():
            yield f"{_count(count, 'image')} failed with {code}: failures.csv says why."
        if not self.doubtful and not failures:
            yield "Every tag was found clearly. Check a few of the images below all the same."
        convert = shlex.join(["weaksam", "convert", str(out), "--to", "yolo-seg", "--out", "yolo"])
        reviewed = shlex.join(["--reviewed", str(out.parent / "reviewed")])
        yield f"Write the labels for your trainer, here YOLO: `{convert}`. After a review, add `{reviewed}`."

    def _review_command(self, out: Path) -> str:
        command = ["weaksam", "review", str(out), "--photos", str(self.folder or "PHOTOS")]
        return shlex.join(command if self.server is None else [*command, "--server", self.server])

    def _thumbnails(self, kept: list[Shown]) -> str:
        return "".join(map(self._thumbnail, kept)) or "<p>None.</p>"

    def _thumbnail(self, shown: Shown) -> str:
        jpeg = None if self.folder is None else draw_thumbnail(self.folder / shown.image, shown.result)
        caption = f"{shown.image}: {shown.review.reason}"
        return sentence_list([caption]) if jpeg is None else figure(jpeg, caption, "jpeg")


def weak_classes(classes: dict[str, ClassTally]) -> list[tuple[str, ClassTally]]:
    """Return the classes that are found least often, the weakest first."""
    weak = [(label, row) for label, row in classes.items() if row.found_share < WEAK_FOUND_SHARE]
    return sorted(weak, key=lambda item: (item[1].found_share, -item[1].tagged, item[0]))[:MAX_WEAK_CLASSES]


def _found_words(label: str, row: ClassTally) -> str:
    images = f"the {_count(row.tagged, 'image')} tagged with it"
    if row.found:
        return f"{label} was found in only {row.found} of {images}."
    return f"{label} was not found in {'any of ' if row.tagged > 1 else ''}{images}."


def _first(rows: list[Shown], limit: int) -> list[Shown]:
    return sorted(rows, key=lambda row: row[:2])[:limit]


def _class_table(classes: dict[str, ClassTally]) -> str:
    rows = [
        [label, str(row.tagged), str(row.found), f"{row.found_share:.0%}", str(row.objects)]
        for label, row in sorted(classes.items(), key=lambda item: (item[1].found_share, item[0]))
    ]
    return table(["class", "images tagged with it", "found in", "share", "objects"], rows)


def _failure_table(failures: Sequence[Failure]) -> str:
    if not failures:
        return "<p>None.</p>"
    counts = Counter(failure.code for failure in failures).most_common()
    return table(["code", "images"], [[code, str(count)] for code, count in counts])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
