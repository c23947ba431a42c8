"""The one form that every data set takes: images with tags, and true objects to measure with or that are confirmed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from weaksam.mask_schemas import Rle
from weaksam.schemas import Box


@dataclass(frozen=True)
class DataProblem:
    """Something wrong in a data set: the file, the field in it, and a sentence saying what was done about it."""

    file: str
    field: str
    message: str


@dataclass(frozen=True)
class TrueObject:
    """`box_xyxy` is half-open, in float pixels of the upright image; `difficult` objects count neither way."""

    label: str
    box_xyxy: Box
    mask_rle: Rle | None = None
    difficult: bool = False


@dataclass(frozen=True)
class TaggedImage:
    """`id` is stable between readings and unique in its data set.

    Training reads `tags`; `objects` are for the supervised twin and for reports. An image without tags is a negative:
    it shows none of the classes. (An image of which nothing is known is no part of a data set.)

    `confirmed` is True if a person reviewed `objects`: they are right and complete, and training learns from them too.
    It is False if the image is among reviewed ones, but its objects are not known. None: the data set does not say.
    """

    id: str
    path: Path
    size_hw: tuple[int, int]
    tags: tuple[str, ...]
    objects: tuple[TrueObject, ...] = ()
    confirmed: bool | None = None

    @property
    def has_boxes(self) -> bool:
        """Whether every tag has an object: if one has none, a right box of it would count as wrong."""
        return bool(self.objects) and {*self.tags} <= {thing.label for thing in self.objects}


@dataclass(frozen=True)
class TaggedDataset:
    """Usable images, the label names in class order, and a report.

    Attributes:
        problems: everything that was left out or cut.
        notes: sentences on what was put right.
    """

    name: str
    labels: tuple[str, ...]
    images: tuple[TaggedImage, ...]
    problems: tuple[DataProblem, ...] = ()
    notes: tuple[str, ...] = ()


def subsampled(images: Sequence[TaggedImage], step: int) -> list[TaggedImage]:
    """Return one of so many images, and all that people confirmed: their work is not left out."""
    place = count()
    return [image for image in images if image.confirmed or next(place) % step == 0]


def with_known_objects(images: Iterable[TaggedImage]) -> tuple[TaggedImage, ...]:
    """Return images to measure on: negatives, and those with boxes; of a review, those that people confirmed."""
    return tuple(image for image in images if image.confirmed is not False and (image.has_boxes or not image.tags))
