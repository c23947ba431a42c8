"""One picture in several files: copies count more than once, disagree, or make a test too easy."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from training.data.open_dataset import open_dataset
from training.data.tagged import TaggedImage
from weaksam.errors import UserError
from weaksam.files.digests import file_sha256

# Without a `val` of its own, a data set's `val` is cut from `train`: the same files are no copies then.
OTHER_SPLITS = ("train", "val", "test")

# Equal for files of the same bytes.
FileKey = tuple[int, str]


def copy_warnings(root: Path, split: str, images: Sequence[TaggedImage]) -> Iterator[str]:
    """Yield sentences on images whose files have the same bytes, in this split or in two splits of the data set."""
    others = {other: _images_of(root, other) for other in OTHER_SPLITS if other != split}
    keys = file_keys(image.path for of_split in (images, *others.values()) for image in of_split)
    yield from _copies(images, keys)
    for other, of_other in others.items():
        elsewhere = {image.path for image in of_other}
        if "test" not in (split, other):
            elsewhere -= {image.path for image in images}
        keys_elsewhere = {keys[path] for path in elsewhere}
        shared = [image for image in images if keys[image.path] in keys_elsewhere]
        if shared:
            yield (
                f"images that are in the split {other}, too: {len(shared)} ({shared[0].path.name} first). What is "
                "measured on them is too good: keep them in one split"
            )


def _copies(images: Sequence[TaggedImage], keys: dict[Path, FileKey]) -> Iterator[str]:
    """Yield sentences on the copies in one split."""
    groups: dict[FileKey, dict[Path, TaggedImage]] = defaultdict(dict)
    for image in images:
        groups[keys[image.path]].setdefault(image.path, image)
    copied = [[*group.values()] for group in groups.values() if len(group) > 1]
    unlike = [group for group in copied if len({frozenset(image.tags) for image in group}) > 1]
    if copied:
        count = sum(len(group) - 1 for group in copied)
        yield f"images that are copies: {count} ({_pair(copied[0])} first). A copy counts twice: remove it"
    if unlike:
        count = len(unlike)
        yield f"images whose copies have other tags: {count} ({_pair(unlike[0])} first). Tag them alike, or keep one"


def _pair(group: Sequence[TaggedImage]) -> str:
    return f"{group[0].path.name} and {group[-1].path.name}"


def _images_of(root: Path, split: str) -> tuple[TaggedImage, ...]:
    """Return the images of a split; none if the data set has no such split."""
    try:
        return open_dataset(root, split).images
    except UserError:
        return ()


def file_keys(paths: Iterable[Path]) -> dict[Path, FileKey]:
    """Return a key for each file. Only files of a size that several have are read."""
    sizes = {path: path.stat().st_size for path in paths}
    counts = Counter(sizes.values())
    return {path: (size, file_sha256(path) if counts[size] > 1 else "") for path, size in sizes.items()}
