"""The detector's results for tagged images on disk, one file for each image.

Files are named by digests of what decides them: the bundle's graphs and settings, the image's bytes and tags. A
change of any makes them anew, a moved folder does not. Several processes may fill one store, each with its share of
the images.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.boxes import reach_a_pixel
from models.bundle import DETECTOR, Bundle
from models.detections import Detections
from models.letterbox import Letterbox
from models.postprocess import detector_detections, select_detections
from training.data.tagged import TaggedImage
from training.proposals.graph_runner import GraphRunner
from training.pseudo_labels.config import Teacher
from training.pseudo_labels.masks import PseudoMask, draw_masks
from training.runs.image_digests import image_key
from weaksam.arrays import Float32
from weaksam.errors import UserError
from weaksam.files.atomic import read_json, replacing_bytes, write_text
from weaksam.files.damaged import read_arrays


@dataclass(frozen=True)
class Detected:
    """All detections of the tagged classes, best of each class first, before any threshold.

    Attributes:
        boxes_xyxy: [N,4] in pixels of the image, sides of at least one pixel.
        scores: [N].
        labels: [N] class indices of the bundle.
        by_detector: [N] whether the retrained detector found it, and not the weak one: their scores differ in scale.
    """

    boxes_xyxy: Float32
    scores: Float32
    labels: npt.NDArray[np.int64]
    by_detector: npt.NDArray[np.bool_]


def detect_tagged(runner: GraphRunner, image: TaggedImage, teacher: Teacher) -> Detected:
    """Return what the bundle finds for an image's tags, as the service would without a lowest score.

    With the retrained detector as teacher, the weak one takes the tags for which that finds nothing.
    """
    tagged = sorted(set(runner.bundle.labels.indices(image.tags)))
    if teacher == "wsod":
        return _detect_weakly(runner, image, tagged)
    found = _detect_retrained(runner, image, tagged)
    missed = [label for label in tagged if label not in found.labels]
    if not missed:
        return found
    weakly = _detect_weakly(runner, image, missed)
    return Detected(
        np.concatenate([found.boxes_xyxy, weakly.boxes_xyxy]),
        np.concatenate([found.scores, weakly.scores]),
        np.concatenate([found.labels, weakly.labels]),
        np.concatenate([found.by_detector, weakly.by_detector]),
    )


def _detect_retrained(runner: GraphRunner, image: TaggedImage, tagged: Sequence[int]) -> Detected:
    letterbox, square = runner.letterboxed(image, DETECTOR)
    allowed = np.zeros(len(runner.bundle.labels), np.float32)
    allowed[list(tagged)] = 1
    boxes_xyxy, labels, scores = runner.run(
        DETECTOR, {"image": square, "allowed": allowed}, ("boxes", "labels", "scores")
    )
    found = detector_detections(boxes_xyxy, scores, labels.astype(np.int64), letterbox.valid_hw)
    return _drawn(letterbox.boxes_to_image(found.boxes_xyxy), found)


def _drawn(boxes_xyxy: Float32, found: Detections) -> Detected:
    """Return detections with boxes in pixels of the image, without those under a pixel."""
    drawn = reach_a_pixel(boxes_xyxy)
    return Detected(boxes_xyxy[drawn], found.scores[drawn], found.labels[drawn], found.by_detector[drawn])


def _detect_weakly(runner: GraphRunner, image: TaggedImage, tagged: Sequence[int]) -> Detected:
    bundle = runner.bundle
    proposals = runner.propose(image, tagged).proposal_set.proposals
    if not len(proposals):
        return _drawn(np.zeros((0, 4), np.float32), Detections.concat([]))
    scores, deltas = runner.score(image, proposals)
    letterbox = Letterbox(image.size_hw, bundle.side_px)
    found = select_detections(
        proposals.boxes_xyxy,
        scores,
        deltas,
        proposals.predicted_iou,
        tagged,
        letterbox.valid_hw,
        bundle.post,
    )
    return _drawn(letterbox.boxes_to_image(found.boxes_xyxy), found)


class DetectionStore:
    """Detections and masks of images, computed once and kept in ``folder``.

    Raises:
        UserError: the teacher is not in the bundle.
    """

    def __init__(self, bundle: Bundle, folder: Path, teacher: Teacher = "wsod") -> None:
        if teacher not in bundle.graphs:
            raise UserError(f"teacher: {bundle.folder} has no {teacher}: take the bundle of a finished training")
        self._bundle = bundle
        self._teacher = teacher
        self._folder = folder / f"{bundle.inference_digest[:16]}-by-{teacher}"
        self._folder.mkdir(parents=True, exist_ok=True)

    def detected(self, image: TaggedImage) -> Detected:
        path = self._path(image, ".npz")
        if not path.exists():
            found = detect_tagged(self._runner, image, self._teacher)
            with replacing_bytes(path) as file:
                np.savez(file, **vars(found))
        return Detected(**read_arrays(path))

    def masks(self, image: TaggedImage, boxes_xyxy: Float32, margin: float) -> list[PseudoMask]:
        """Return masks of boxes [N,4] in image pixels, in their order; ``margin`` as `draw_masks` takes it."""
        asked_digest = hashlib.sha256(boxes_xyxy.tobytes() + str(margin).encode()).hexdigest()[:16]
        path = self._path(image, f"-{asked_digest}.json")
        if not path.exists():
            rows = [asdict(mask) for mask in draw_masks(self._runner, image, boxes_xyxy, margin)]
            write_text(path, json.dumps(rows))
        return [PseudoMask(**row) for row in read_json(path)]

    def _path(self, image: TaggedImage, ending: str) -> Path:
        return self._folder / f"{image_key(image)}{ending}"

    @cached_property
    def _runner(self) -> GraphRunner:
        # only where something is still to be done: a finished store needs no session
        return GraphRunner(self._bundle)
