"""The tags of a request, and the ledger that says what became of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.bundle import Bundle
from models.labels import LabelSet, fold_label
from models.peaks import Peaks
from models.proposals import Proposals
from service.errors import TooManyTags, UnknownTag
from service.inference.stage_results import Choice, Features, ScoredProposals
from weaksam.schemas import LossStage, TagRow


@dataclass(frozen=True)
class Tag:
    """One tag of a request: its text, the class index it means (None: unknown), and who said it."""

    text: str
    label: int | None
    predicted: bool = False
    nearest: tuple[str, ...] = ()


def resolve_tags(texts: Iterable[str], labels: LabelSet, *, max_tags: int, skip_unknown: bool) -> list[Tag]:
    """Match what was sent to the labels; spellings that fold to the same are one tag, the first one.

    Raises:
        TooManyTags: more than `max_tags` different ones.
        UnknownTag: naming each that is no label, unless `skip_unknown`.
    """
    spellings = _first_spellings(texts)
    if len(spellings) > max_tags:
        raise TooManyTags(f"tags has {len(spellings)} different tags, the limit is {max_tags}: send fewer")
    tags = [_resolve(text, labels) for text in spellings]
    unknown = [tag for tag in tags if tag.label is None]
    if unknown and not skip_unknown:
        raise UnknownTag(_sentence(unknown), unknown=[{"tag": tag.text, "nearest": tag.nearest} for tag in unknown])
    return tags


def predict_tags(scores: npt.NDArray[np.float32], bundle: Bundle) -> list[Tag]:
    """The labels whose classifier score [C] reaches their threshold, best first."""
    seen = [
        label for label in np.argsort(-scores, kind="stable") if scores[label] >= bundle.thresholds.classifier[label]
    ]
    return [Tag(bundle.labels.names[label], int(label), predicted=True) for label in seen]


def known_classes(tags: Sequence[Tag]) -> tuple[int, ...]:
    """The class indices that the tags allow, ascending, each once."""
    return tuple(sorted({tag.label for tag in tags if tag.label is not None}))


@dataclass(frozen=True)
class Evidence:
    """What each stage had of every class C, from which the ledger tells where a tag was lost.

    Attributes:
        seen: [C] whether the classifier's score reaches its threshold.
        covered: [C] whether a proposal covers a peak of the class's map.
        best_scores: [C] best score of any candidate, NaN where there is none.
        enough: [C] candidates whose score reaches `min_score`.
        returned: [C] detections in the answer.
    """

    seen: npt.NDArray[np.bool_]
    covered: npt.NDArray[np.bool_]
    best_scores: npt.NDArray[np.float32]
    enough: npt.NDArray[np.int64]
    returned: npt.NDArray[np.int64]


def covered_classes(peaks: Peaks, proposals: Proposals, classes: int) -> npt.NDArray[np.bool_]:
    """Whether [C] any proposal's box holds any peak of the class."""
    points, boxes = peaks.points_xy[:, None], proposals.boxes_xyxy[None]  # [N,1,2], [1,P,4]
    inside = np.all((points >= boxes[..., :2]) & (points < boxes[..., 2:]), axis=2)  # [N,P]
    covered = np.zeros(classes, np.bool_)
    covered[peaks.labels[np.any(inside, axis=1)]] = True
    return covered


def collect_evidence(bundle: Bundle, features: Features, scored: ScoredProposals, choice: Choice) -> Evidence:
    """What each stage of one request had of every class."""
    classes = len(bundle.labels)
    best_scores = np.full(classes, np.nan, np.float32)
    np.fmax.at(best_scores, choice.candidates.labels, choice.candidates.scores)
    covered = covered_classes(scored.peaks, scored.picture.proposals, classes)
    # The detector makes proposals of its own.
    covered[choice.candidates.labels[choice.candidates.by_detector]] = True
    return Evidence(
        seen=features.tag_scores >= np.array(bundle.thresholds.classifier, np.float32),
        covered=covered,
        best_scores=best_scores,
        enough=np.bincount(choice.enough.labels, minlength=classes),
        returned=np.bincount(choice.found.labels, minlength=classes),
    )


def tag_row(tag: Tag, evidence: Evidence, labels: LabelSet) -> TagRow:
    """The ledger's row of one tag."""
    if tag.label is None:
        return TagRow(
            tag=tag.text,
            label=None,
            status="unknown",
            predicted=False,
            count=0,
            stage=None,
            best_score=None,
            nearest=tag.nearest,
        )
    count, best_score = int(evidence.returned[tag.label]), float(evidence.best_scores[tag.label])
    return TagRow(
        tag=tag.text,
        label=labels.names[tag.label],
        status="found" if count else "not_found",
        predicted=tag.predicted,
        count=count,
        stage=None if count else _first_loss(tag.label, evidence),
        best_score=None if np.isnan(best_score) else round(best_score, 6),
        nearest=(),
    )


def _first_loss(label: int, evidence: Evidence) -> LossStage:
    # A tag that the classifier does not see is searched for all the same: whoever tagged the picture knows better.
    if not evidence.seen[label]:
        return "classifier"
    if not evidence.covered[label]:
        return "proposals"
    return "limit" if evidence.enough[label] else "score"


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
