"""The first screen of a run's report: what was reached and what to do next, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from training.data.check.summary import MIN_IMAGES_OF_A_CLASS

WEAK_PRECISION = 0.5
MAX_WEAK_CLASSES = 5
Metrics = Mapping[str, Any]


def reached(data: str, metrics: Metrics) -> Iterator[str]:
    """Yield sentences on what a bundle reached on one data set."""
    yield f"{data}: in {metrics['corloc']:.0%} of the cases, the best box of a tag lies on an object of it."
    yield (
        f"{data}: the boxes have an average precision of {metrics['ap50_tagged']:.2f} if the tags are given, and of "
        f"{metrics['ap50']:.2f} without tags. 1 is perfect; the naive baseline has "
        f"{metrics['naive_ap50_tagged']:.2f} with tags."
    )
    if metrics.get("returned_precision_tagged") is not None:
        yield (
            f"{data}: if the tags are given, {metrics['returned_precision_tagged']:.0%} of the boxes that the service "
            f"returns are right, and {metrics['returned_recall_tagged']:.0%} of the objects are found."
        )


def next_steps(data: str, metrics: Metrics, images_of: Mapping[str, int]) -> Iterator[str]:
    """Yield a sentence for each of the weakest classes.

    Args:
        data: name of the data set that was measured.
        metrics: the final bundle's figures on it.
        images_of: number of training images by class.
    """
    precision = {label: row["ap50_tagged"] for label, row in metrics["per_class"].items() if "ap50_tagged" in row}
    weak = sorted((value, label) for label, value in precision.items() if value < WEAK_PRECISION)
    for value, label in weak[:MAX_WEAK_CLASSES]:
        yield f"{label} is weak on {data}: average precision {value:.2f}. {_remedy(images_of.get(label, 0))}"
    if not weak:
        yield f"No class is weak on {data}: serve the bundle, label a folder and review the doubtful images."


def few_images(images_of: Mapping[str, int]) -> Iterator[str]:
    """Yield a sentence for each of the classes with too few training images, if nothing could be measured."""
    few = sorted((count, label) for label, count in images_of.items() if count < MIN_IMAGES_OF_A_CLASS)
    yield "Nothing was measured: the run had no test images. Look at the results below."
    for count, label in few[:MAX_WEAK_CLASSES]:
        yield f"{label} has few images. {_remedy(count)}"


def _remedy(images: int) -> str:
    if images == 0:
        return "No training image shows it: add some."
    shown = f"{images} training image{' shows' if images == 1 else 's show'} it"
    if images < MIN_IMAGES_OF_A_CLASS:
        return f"Only {shown}: add more of them."
    return f"{shown}: confirm their boxes with `weaksam review`, or see below where its objects are lost."
