"""Which images validate, if nobody chose: the same ones for training here and for what other trainers get.

Frames of one video look alike, so validation must not take them at random: `val` is the last 10 % of each training
sequence, `fit` the rest. A sequence is a run of ids of one set of tags in the sorted ids of training and test together;
a new one starts when the tags change, or when a training id follows a test id. Images that come in no sequences
(runs of fewer than `SHORTEST_MEAN_RUN` training ids on average) count as a single one, whose ids may still be sorted by
class: if the last tenth has more than half of a tag's images, it is one of every ten instead, if that leaves
each tag an image to learn from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

SHORTEST_MEAN_RUN = 5
VAL_SHARE = 0.1


def training_sequences(
    tags_of_train: Mapping[str, Sequence[str]], tags_of_test: Mapping[str, Sequence[str]]
) -> list[list[str]]:
    """Return training ids grouped into sequences, each sorted."""
    tags_of = {**tags_of_test, **tags_of_train}
    sequences: list[list[str]] = []
    previous: str | None = None
    for image_id in sorted(tags_of):
        after_test = previous in tags_of_test and image_id in tags_of_train
        if previous is None or after_test or sorted(tags_of[image_id]) != sorted(tags_of[previous]):
            sequences.append([])
        if image_id in tags_of_train:
            sequences[-1].append(image_id)
        previous = image_id
    kept = [sequence for sequence in sequences if sequence]
    if len(tags_of_train) < SHORTEST_MEAN_RUN * len(kept):
        return [sorted(tags_of_train)]
    return kept


def val_ids(tags_of_train: Mapping[str, Sequence[str]], tags_of_test: Mapping[str, Sequence[str]]) -> set[str]:
    """Return ids of the last tenth (rounded, at least one of two or more) of each training sequence."""
    held_out: set[str] = set()
    sequences = training_sequences(tags_of_train, tags_of_test)
    for sequence in sequences:
        count = max(round(VAL_SHARE * len(sequence)), 1 if len(sequence) > 1 else 0)
        held_out.update(sequence[len(sequence) - count :])
    all_tags, held_out_tags = _count_tags(tags_of_train.values()), _count_tags(tags_of_train[i] for i in held_out)
    lopsided = any(2 * held_out_tags[tag] > all_tags[tag] for tag in held_out_tags)
    spread = _spread_ids(tags_of_train) if lopsided and len(sequences) == 1 else set()
    return spread or held_out


def _count_tags(tags_of_images: Iterable[Sequence[str]]) -> Counter[str]:
    return Counter(tag for tags in tags_of_images for tag in tags)


def _spread_ids(tags_of: Mapping[str, Sequence[str]]) -> set[str]:
    """Return one of every ten sorted ids, the last that is not the only one left to learn a tag from."""
    ids = sorted(tags_of)
    left = _count_tags(tags_of.values())
    step = round(1 / VAL_SHARE)
    spread: set[str] = set()
    for start in range(0, len(ids), step):
        for image_id in reversed(ids[start : start + step]):
            if all(left[tag] > 1 for tag in tags_of[image_id]):
                spread.add(image_id)
                left.subtract(tags_of[image_id])
                break
    return spread
