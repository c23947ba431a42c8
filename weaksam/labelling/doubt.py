"""What a person should look at first: how doubtful the result of an image is, and why, from the result alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from weaksam.labelling.boxes import covered_share
from weaksam.schemas import Detection, DetectResult, LossStage, TagRow

# Chosen on 160 generated scenes; `python -m tests.bench.labelling.review_order` measures the order on any others.
NOT_FOUND_DOUBT = 0.9
WEIGHT = 0.6  # of one doubtful detection: a single one leaves the image behind those that lack a tag
TRUSTED_MASK_IOU, USELESS_MASK_IOU = 0.9, 0.5
MIN_TOLD_DOUBT = 0.2
MAX_REASONS = 3
NO_DOUBT = "every tag was found, clearly and apart from the others"
LOST_BY: dict[LossStage, str] = {
    "classifier": "the classifier does not see it",
    "proposals": "no proposal covers the place where the classifier sees it",
    "score": "its best candidate scores too low",
    "limit": "too many detections were better",
}


@dataclass(frozen=True)
class Doubt:
    """One thing that may be wrong.

    Attributes:
        share: how likely it is wrong, 0..1.
        claim: words for the reviewer; of doubts with equal words only the gravest is shown.
        figure: ends the sentence.
    """

    share: float
    claim: str
    figure: str = ""


@dataclass(frozen=True)
class Urgency:
    """How urgently a person should look at an image, 0..1, with the gravest reasons in words."""

    score: float
    reason: str


def review_result(result: DetectResult) -> Urgency:
    """Return how doubtful a result is.

    Doubts add up as independent ones do: the score is one minus the product of `1 - share`.
    """
    doubts = sorted(_doubts(result), key=lambda doubt: -doubt.share)
    certain = 1.0
    for doubt in doubts:
        certain *= 1 - doubt.share
    told = {doubt.claim: doubt for doubt in reversed(doubts) if doubt.share >= MIN_TOLD_DOUBT}
    gravest = sorted(told.values(), key=lambda doubt: -doubt.share)[:MAX_REASONS]
    return Urgency(round(1 - certain, 3), "; ".join(doubt.claim + doubt.figure for doubt in gravest) or NO_DOUBT)


def _doubts(result: DetectResult) -> Iterator[Doubt]:
    for row in result.tags:
        if row.status != "found":
            yield Doubt(NOT_FOUND_DOUBT, _why_missing(row))
    for number, found in enumerate(result.detections):
        yield Doubt(WEIGHT * (1 - found.score), f"{found.label}: found with a score of only", f" {found.score:.2f}")
        yield from _mask_doubt(found)
        yield from _rival_doubt(found, [*result.detections[:number], *result.detections[number + 1 :]])


def _why_missing(row: TagRow) -> str:
    if row.status == "unknown":
        return f"{row.tag}: no such label"
    return f"{row.label}: not found" if row.stage is None else f"{row.label}: not found, {LOST_BY[row.stage]}"


def _mask_doubt(found: Detection) -> Iterator[Doubt]:
    if found.mask_score is not None:
        share = (TRUSTED_MASK_IOU - found.mask_score) / (TRUSTED_MASK_IOU - USELESS_MASK_IOU)
        claim = f"{found.label}: its mask is expected to fit with an IoU of only"
        yield Doubt(WEIGHT * min(1.0, max(0.0, share)), claim, f" {found.mask_score:.2f}")


def _rival_doubt(found: Detection, others: Sequence[Detection]) -> Iterator[Doubt]:
    """Doubt a detection as far as another one lies on it with a score as high."""
    rivals = [
        (covered_share(found.box_xyxy, other.box_xyxy) * _closeness(found.score, other.score), other.label)
        for other in others
    ]
    if rivals:
        share, label = max(rivals)
        yield Doubt(WEIGHT * share, " and ".join(sorted((found.label, label))) + " overlap with close scores")


def _closeness(first: float, second: float) -> float:
    return min(first, second) / max(first, second) if max(first, second) > 0 else 1.0
