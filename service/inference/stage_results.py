"""What the stages of one request hand to each other."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from models.detections import Detections
from models.peaks import Peaks
from models.proposals import Proposals, ProposedPicture

Float32 = npt.NDArray[np.float32]
Classes = tuple[int, ...]


@dataclass(frozen=True)
class Features:
    """What is known of a picture before any tag is.

    Attributes:
        image_bhwc_u8: [1,S,S,3], the input of the graphs that know classes.
        tag_scores: [C].
        maps_kchw: [K,C,h,w].
        embedding: [1,D,e,e].
        prompt_map_b1hw: [1,1,e,e]; None of a segmenter that has not learnt where to ask.
    """

    image_bhwc_u8: npt.NDArray[np.uint8]
    tag_scores: Float32
    maps_kchw: Float32
    embedding: Float32
    prompt_map_b1hw: Float32 | None

    @property
    def nbytes(self) -> int:
        return _nbytes(self)


@dataclass(frozen=True)
class DetectorAnswer:
    """What the graph `detector` found of the classes asked for; nothing in a bundle without one.

    Attributes:
        found: in pixels of the segmenter's input, as all boxes here; ``sources`` are rows of the other columns.
        frames_xyxy: [D,4] the boxes uncut, which masks lie over.
        masks: [D,M,M] logits, empty where the bundle takes its masks from elsewhere.
    """

    found: Detections
    frames_xyxy: Float32
    masks: npt.NDArray[np.float16]

    @property
    def nbytes(self) -> int:
        return _nbytes(self.found) + self.frames_xyxy.nbytes + self.masks.nbytes

    @staticmethod
    def empty() -> DetectorAnswer:
        return DetectorAnswer(Detections.empty(), np.zeros((0, 4), np.float32), np.zeros((0, 0, 0), np.float16))


@dataclass(frozen=True)
class ScoredProposals:
    """What is known of a picture for one set of tags.

    Attributes:
        peaks: in pixels of the segmenter's input, as all boxes here.
        picture: P proposals and the prompts behind them.
        scores: [P,C].
        deltas: [P,C or 1,4].
    """

    peaks: Peaks
    picture: ProposedPicture
    scores: Float32
    deltas: Float32

    @property
    def nbytes(self) -> int:
        own = self.scores.nbytes + self.deltas.nbytes
        parts = (self.peaks, self.picture.proposals, *self.picture.asked)
        return own + sum(map(_nbytes, parts))

    @staticmethod
    def empty(classes: int) -> ScoredProposals:
        """What is known where no class is asked for."""
        nothing = np.zeros(0, np.float32)
        peaks = Peaks(nothing.reshape(0, 2), nothing.astype(np.int64), nothing)
        index, from_peak = nothing.astype(np.int64), nothing.astype(np.bool_)
        proposals = Proposals(nothing.reshape(0, 4), nothing, nothing, index, index, from_peak)
        return ScoredProposals(
            peaks, ProposedPicture(proposals, ()), nothing.reshape(0, classes), nothing.reshape(0, 1, 4)
        )


@dataclass(frozen=True)
class Choice:
    """What one request takes from the scored proposals; boxes in pixels of the graph's input.

    Attributes:
        classes: the class indices that the tags allow.
        min_scores: [C] the score threshold applied, of the model that had the last word on the class.
        candidates: of the allowed classes, after suppression, whatever their score.
        enough: those whose score reaches the threshold.
        found: those that are returned.
    """

    classes: Classes
    min_scores: Float32
    candidates: Detections
    enough: Detections
    found: Detections


def _nbytes(columns: Any) -> int:
    return sum(getattr(getattr(columns, field.name), "nbytes", 0) for field in fields(columns))
