"""Requests and responses of the review server."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from weaksam.formats.labelled_document import DecisionState
from weaksam.mask_schemas import Document, RleMask, WholeNumber
from weaksam.schemas import Score
from weaksam.segment_schemas import AreaBox

ReviewState = Literal["open", "accepted", "corrected", "rejected"]
Reviewer = Annotated[str, Field(min_length=1, max_length=80)]


class ReviewObject(Document):
    """One object of an image."""

    label: str
    box_xyxy: AreaBox = Field(description="x0, y0, x1, y1, half-open, in pixels of the upright image.")
    score: Score | None = Field(None, description="null if a person drew it.")
    mask: RleMask | None = None


class ReviewEntry(Document):
    """An image in the queue."""

    id: int
    file_name: str
    review: Score | None = Field(
        description="How urgently a person should look at it; null in runs of earlier versions."
    )
    review_reason: str
    state: ReviewState
    version: int = Field(description="Number of decisions so far; a new decision names the one it was made on.")
    reviewer: str | None = Field(description="Who decided last.")


class ReviewImage(ReviewEntry):
    """An image with its objects as they stand: found, or corrected by the last decision."""

    width: int
    height: int
    sha256: str | None
    tags: tuple[str, ...]
    objects: tuple[ReviewObject, ...]


class Progress(Document):
    """How many images are in which state: of the whole run, or of a random sample of it."""

    images: int
    open: int
    accepted: int
    corrected: int
    rejected: int
    sample_of: int | None = Field(None, description="Images of the whole run, if a random sample is reviewed.")
    likely_accepted: tuple[Score, Score] | None = Field(
        None,
        description="Share of the whole run's images that would be accepted: from, to. Known once the sample is "
        "reviewed; right for 19 of 20 samples.",
    )


class ClaimRequest(Document):
    """A wish for the next images. They are not given to others for some minutes."""

    reviewer: Reviewer = Field(description="Who holds them. The page names its tab: two people may share a browser.")
    count: WholeNumber = Field(
        10, ge=0, le=100, description="At most so many; of the last images half. 0 gives back what is held."
    )


class Decision(Document):
    """What a person says about one image."""

    reviewer: Reviewer
    version: WholeNumber = Field(ge=0, description="`version` of the image as the person saw it.")
    state: DecisionState = Field(
        description="`accepted`: the objects are right and complete. `corrected`: `objects` are. `rejected`: they are "
        "wrong and not worth correcting; the tags are kept."
    )
    objects: tuple[ReviewObject, ...] | None = Field(None, description="All objects, if `corrected`; else null.")
