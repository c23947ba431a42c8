"""The tags of a request: matched to the bundle's labels, or proposed by classifier and detector."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.bundle import Bundle
from models.detections import Detections
from models.labels import LabelSet
from service.errors import TooManyTags, UnknownTag
from weaksam.tag_texts import fold_label

# Of a detection among all classes: it is then more likely than anything else.
SURE_SCORE = 0.5
# Of the classifier's threshold: a score below that speaks against the tag, chosen on validation images with wrong tags.
RULED_OUT_SHARE = 0.04


@dataclass(frozen=True)
class Tag:
    """One tag of a request.

    Attributes:
        text: as it was sent first.
        label: index of the class that it means; None for an unknown tag.
        predicted: whether classifier or detector proposed it.
        nearest: names of the labels spelled most like an unknown tag.
    """

    text: str
    label: int | None
    predicted: bool = False
    nearest: tuple[str, ...] = ()


def resolve_tags(texts: Iterable[str], labels: LabelSet, *, max_tags: int, skip_unknown: bool) -> list[Tag]:
    """Match texts to labels. Spellings that fold to the same text are one tag, and the first spelling stays.

    Raises:
        TooManyTags: there are more than `max_tags` different ones.
        UnknownTag: a text is no label and `skip_unknown` is false; the error names each such text.
    """
    spellings = _first_spellings(texts)
    if len(spellings) > max_tags:
        raise TooManyTags(f"tags has {len(spellings)} different tags, the limit is {max_tags}: send fewer")
    tags = [_resolve(text, labels) for text in spellings]
    unknown = [tag for tag in tags if tag.label is None]
    if unknown and not skip_unknown:
        raise UnknownTag(_sentence(unknown), unknown=[{"tag": tag.text, "nearest": tag.nearest} for tag in unknown])
    return tags


def predict_tags(scores: npt.NDArray[np.float32], found: Detections, bundle: Bundle) -> list[Tag]:
    """Return the labels that the classifier sees, best first, then those that only the detector does.

    Args:
        scores: of the classifier [C].
        found: the detector's, with all classes allowed.
        bundle: whose thresholds the classifier's scores must reach.
    """
    falling = np.argsort(-scores, kind="stable")
    seen = falling[scores[falling] >= np.array(bundle.thresholds.classifier, np.float32)[falling]]
    sure = found.labels[found.scores >= SURE_SCORE]
    return [Tag(bundle.labels.names[label], int(label), predicted=True) for label in dict.fromkeys([*seen, *sure])]


def known_classes(tags: Sequence[Tag]) -> tuple[int, ...]:
    """Return the class indices that the tags mean, ascending, each once."""
    return tuple(sorted({tag.label for tag in tags if tag.label is not None}))


def plausible_classes(tags: Sequence[Tag], scores: npt.NDArray[np.float32], bundle: Bundle) -> tuple[int, ...]:
    """Return the class indices of tags that the classifier, with its scores [C], does not rule out."""
    least = RULED_OUT_SHARE * np.array(bundle.thresholds.classifier, np.float32)
    return tuple(label for label in known_classes(tags) if scores[label] >= least[label])


def _first_spellings(texts: Iterable[str]) -> list[str]:
    spelling_of: dict[str, str] = {}
    for text in texts:
        if text.strip():
            spelling_of.setdefault(fold_label(text), text.strip())
    return list(spelling_of.values())


def _resolve(text: str, labels: LabelSet) -> Tag:
    label = labels.index(text)
    return Tag(text, label, nearest=() if label is not None else tuple(labels.nearest(text)))


def _sentence(unknown: Sequence[Tag]) -> str:
    said = "; ".join(f"{tag.text!r} is no label, the nearest are {', '.join(tag.nearest)}" for tag in unknown)
    return f"tags: {said}"
