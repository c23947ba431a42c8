"""What the stages of one request hand to each other. All boxes are in pixels of the segmenter's input."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from models.detections import Detections
from models.masks.levels import Look
from models.prompting.peaks import Peaks
from models.prompting.proposals import Proposals, ProposalSet
from service.backends.base import Array, Tensors
from weaksam.arrays import Float32

Classes = tuple[int, ...]


@dataclass(frozen=True)
class GraphInputs:
    """One image as the graphs take it.

    Attributes:
        classes_bhwc_u8: [1,S,S,3], the input of `cam`, `wsod` and `detector`.
        segmenter_bhwc_u8: [1,S,S,3], the input of `sam_encoder`; often the same array.
        image_hw: size of the upright image in pixels.
    """

    classes_bhwc_u8: npt.NDArray[np.uint8]
    segmenter_bhwc_u8: npt.NDArray[np.uint8]
    image_hw: tuple[int, int]

    @property
    def nbytes(self) -> int:
        shared = self.segmenter_bhwc_u8 is self.classes_bhwc_u8
        return self.classes_bhwc_u8.nbytes + (0 if shared else self.segmenter_bhwc_u8.nbytes)


@dataclass(frozen=True)
class ClassMaps:
    """The classifier's output.

    Attributes:
        tag_scores: [C].
        maps_kchw: [K,C,h,w].
    """

    tag_scores: Float32
    maps_kchw: Float32

    @property
    def nbytes(self) -> int:
        return _nbytes(self)


@dataclass(frozen=True)
class SegmenterFeatures:
    """The output of `sam_encoder`.

    Attributes:
        look: the image, or the part of it, that this is of.
        tensors: of one image, by the names that `sam_decoder` takes them by.
        prompt_map_b1hw: [1,1,e,e]; None for a segmenter without a prompt map.
    """

    look: Look
    tensors: Tensors
    prompt_map_b1hw: Array | None = None

    @property
    def nbytes(self) -> int:
        of_map = 0 if self.prompt_map_b1hw is None else self.prompt_map_b1hw.nbytes
        return self.look.square_hwc_u8.nbytes + of_map + sum(tensor.nbytes for tensor in self.tensors.values())


@dataclass(frozen=True)
class DetectorOutput:
    """What the graph `detector` found of the requested classes; empty in a bundle without one.

    Attributes:
        found: detections whose ``sources`` are rows of the other columns.
        frames_xyxy: [D,4] what the masks lie over: the boxes before they were clipped, or what the graph gives.
        masks: [D,h,w] logits; empty if the bundle takes its masks from elsewhere.
    """

    found: Detections
    frames_xyxy: Float32
    masks: npt.NDArray[np.float16]

    @property
    def nbytes(self) -> int:
        return _nbytes(self.found) + self.frames_xyxy.nbytes + self.masks.nbytes

    @staticmethod
    def empty() -> DetectorOutput:
        return DetectorOutput(Detections.empty(), np.zeros((0, 4), np.float32), np.zeros((0, 0, 0), np.float16))


@dataclass(frozen=True)
class ScoredProposals:
    """What is known of an image for one set of tags.

    Attributes:
        peaks: of the requested classes' maps.
        proposal_set: P proposals and the prompts behind them.
        scores: [P,C].
        deltas: [P,C or 1,4].
    """

    peaks: Peaks
    proposal_set: ProposalSet
    scores: Float32
    deltas: Float32

    @property
    def proposals(self) -> Proposals:
        return self.proposal_set.proposals

    @property
    def nbytes(self) -> int:
        own = self.scores.nbytes + self.deltas.nbytes
        return own + sum(
            map(_nbytes, (self.peaks, self.proposals, self.proposal_set.dropped, *self.proposal_set.prompts))
        )

    @staticmethod
    def empty(classes: int) -> ScoredProposals:
        """Return what is known if no class is requested."""
        nothing = np.zeros(0, np.float32)
        peaks = Peaks(nothing.reshape(0, 2), nothing.astype(np.int64), nothing)
        proposal_set = ProposalSet(Proposals.empty(), (), 0, Proposals.empty())
        return ScoredProposals(peaks, proposal_set, nothing.reshape(0, classes), nothing.reshape(0, 1, 4))


@dataclass(frozen=True)
class RequestedClasses:
    """Indices of the classes that one request is about.

    Attributes:
        classes: all of them.
        from_proposals: those that may come from proposals.
        plausible: those of tags that were sent and that the classifier does not rule out; only of ``from_proposals``.
    """

    classes: Classes
    from_proposals: Classes
    plausible: Classes


@dataclass(frozen=True)
class Selection:
    """What one request takes from the detector's output and the scored proposals.

    Attributes:
        classes: indices of the requested classes.
        min_scores: [C] the threshold of each class, of the model that had the last word on it.
        candidates: detections of the requested classes after NMS, whatever their score.
        above_threshold: those candidates whose score reaches the threshold.
        returned: the best of these, at most as many as the request wants.
    """

    classes: Classes
    min_scores: Float32
    candidates: Detections
    above_threshold: Detections
    returned: Detections


def _nbytes(columns: Any) -> int:
    return sum(getattr(columns, field.name).nbytes for field in fields(columns))
