"""What a data set holds, class by class, and what about it will make training hard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from training.data.tagged import TaggedDataset

MIN_IMAGES_OF_A_CLASS = 20


@dataclass(frozen=True)
class ClassCount:
    """How many images have a class as a tag, and how many objects of it have boxes."""

    label: str
    images: int
    objects: int


def count_classes(dataset: TaggedDataset) -> list[ClassCount]:
    """Return the counts of all labels, in their order."""
    images = Counter(tag for image in dataset.images for tag in set(image.tags))
    objects = Counter(thing.label for image in dataset.images for thing in image.objects)
    return [ClassCount(label, images[label], objects[label]) for label in dataset.labels]


def warnings(dataset: TaggedDataset) -> Iterator[str]:
    """Yield sentences on classes that cannot be learnt well from these images."""
    counts = count_classes(dataset)
    for count in counts:
        if count.images == len(dataset.images) > 0:
            yield (
                f"{count.label} is on every image: nothing tells it from its background. Add images without it, with "
                "an empty tags cell"
            )
    rare = [f"{count.label} ({count.images})" for count in counts if count.images < MIN_IMAGES_OF_A_CLASS]
    if rare:
        yield f"fewer than {MIN_IMAGES_OF_A_CLASS} images: {', '.join(rare)}. Add images of them, or leave them out"
