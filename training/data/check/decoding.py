"""Images whose pixels cannot be decoded: cut short, say, behind a header that reads well."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from models.image import ImageError, read_image
from training.data.checks import Report
from training.data.tagged import DataProblem, TaggedImage


def undecodable(images: Iterable[TaggedImage], root: Path) -> list[DataProblem]:
    """Return images whose pixels cannot be decoded. Slow, and therefore not part of reading a data set."""
    report = Report(root)
    for image in images:
        error = decoding_error(image)
        if error is not None:
            report.add(image.path, "image", f"{error}; training would leave it out or stop: replace or remove it")
    return report.problems


def decoding_error(image: TaggedImage) -> str | None:
    """Return why an image's pixels cannot be decoded; None if they can."""
    try:
        read_image(image.path)
    except (ImageError, OSError) as error:
        return str(error.__cause__ or error)
    return None
