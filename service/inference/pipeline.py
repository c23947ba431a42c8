"""From a picture and its tags to labelled boxes and masks; no HTTP here.

The service, the command line and the evaluation all come through `Pipeline.detect`, so that what is measured is what
is served.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from models.bundle import DETECTOR, Bundle
from models.detections import Detections
from models.image import DecodedImage
from models.letterbox import Letterbox
from service.backends.base import Backend
from service.inference.cache import Key, ResultCache
from service.inference.explain import explain
from service.inference.ledger import Evidence, Tag, collect_evidence, known_classes, predict_tags, resolve_tags, tag_row
from service.inference.mask_rendering import DrawnMask, MaskDrawer
from service.inference.selection import choose, unanswered
from service.inference.stage_results import Classes, DetectorAnswer, Features, ScoredProposals
from service.inference.stages import Stages
from service.observability.metrics import Metrics
from service.observability.timings import Timings
from weaksam.schemas import (
    BundleInfo,
    Detection,
    DetectOptions,
    DetectResult,
    ImageInfo,
    TagRow,
)


@dataclass(frozen=True)
class Limits:
    """Bounds that no request can pass: different tags sent, and detections returned."""

    max_tags: int = 100
    max_detections: int = 100


class Pipeline:
    """Serves one bundle; safe to call from many tasks of one event loop at once.

    Args:
        bundle: what is served.
        backend: runs its graphs; whoever made it closes it.
        cache: of intermediate results.
        limits: bounds on every request.
        metrics: told of pictures, encodes, stages and tags.

    Attributes:
        info: name, version and digest of the bundle, as answers state them.

    Raises BackendMismatch where backend and bundle do not fit.
    """

    def __init__(self, bundle: Bundle, backend: Backend, cache: ResultCache, limits: Limits, metrics: Metrics) -> None:
        self.bundle = bundle
        self.backend = backend
        self.metrics = metrics
        self._cache = cache
        self._limits = limits
        self._stages = Stages(bundle, backend, metrics)
        self.info = BundleInfo(name=bundle.name, version=bundle.version, digest=bundle.digest)

    async def aclose(self) -> None:
        """Close the backend, and drop what is cached of the bundle; no request may be in work."""
        self._cache.forget_bundle(self.bundle.digest)
        await self.backend.aclose()

    async def detect(
        self,
        image: DecodedImage,
        tags: Iterable[str] = (),
        options: DetectOptions | None = None,
        timings: Timings | None = None,
    ) -> DetectResult:
        """Boxes and masks of the tagged classes, and no other; every tag sent has its row in the ledger.

        Args:
            image: the picture, upright RGB.
            tags: label names as a user writes them; none: the classifier proposes them.
            options: what to return.
            timings: a clock that runs already, where there was work before this call.

        Raises:
            UnknownTag, TooManyTags: the tags are at fault.
            BackendFailure, BackendUnavailable: a graph could not be run.
        """
        options, timings = options or DetectOptions(), timings or Timings(self.metrics)
        self.metrics.image()
        letterbox = Letterbox(image.size_hw, self.bundle.side_px)
        sent = await asyncio.to_thread(self._resolve, tags, options)
        features = await self._features(image, letterbox, timings)
        asked = sent or predict_tags(features.tag_scores, self.bundle)
        classes = known_classes(asked)
        answer = await self._answer(image, features, classes, letterbox, timings)
        # Of all classes asked for, whichever were missed: the answer must not depend on who wants an explanation.
        needed = classes if options.explain or unanswered(self.bundle, answer, classes) else ()
        scored = await self._scored(image, features, needed, letterbox, timings)
        most = min(options.max_detections or self._limits.max_detections, self._limits.max_detections)
        with timings.stage("select"):
            choice = await asyncio.to_thread(choose, self.bundle, answer, scored, classes, letterbox, options, most)
        with timings.stage("masks"):
            source = self.bundle.post.mask_source
            drawer = MaskDrawer(self._stages, source, letterbox, features, answer, scored)
            masks = await drawer.draw(choice.found, options.mask_format)
        evidence = collect_evidence(self.bundle, features, scored, choice)
        explained = explain(self.bundle, letterbox, features, scored, choice) if options.explain else None
        return DetectResult(
            image=ImageInfo(width=image.size_hw[1], height=image.size_hw[0], sha256=image.sha256),
            detections=self._detections(image, choice.found, letterbox, masks),
            tags=self._ledger(asked, evidence),
            timing_ms=timings.as_ms(),
            bundle=self.info,
            explain=explained,
        )

    def _resolve(self, tags: Iterable[str], options: DetectOptions) -> list[Tag]:
        skip_unknown = options.unknown_tags == "skip"
        return resolve_tags(tags, self.bundle.labels, max_tags=self._limits.max_tags, skip_unknown=skip_unknown)

    async def _features(self, image: DecodedImage, letterbox: Letterbox, timings: Timings) -> Features:
        key = Key("features", image.sha256, self.bundle.digest)
        return await self._cache.get(key, lambda: self._stages.encode(image, letterbox, timings))

    async def _answer(
        self, image: DecodedImage, features: Features, classes: Classes, letterbox: Letterbox, timings: Timings
    ) -> DetectorAnswer:
        if DETECTOR not in self.bundle.graphs or not classes:
            return DetectorAnswer.empty()
        key = Key(DETECTOR, image.sha256, self.bundle.digest, classes)
        return await self._cache.get(key, partial(self._stages.detect, features, classes, letterbox, timings))

    async def _scored(
        self, image: DecodedImage, features: Features, classes: Classes, letterbox: Letterbox, timings: Timings
    ) -> ScoredProposals:
        if not classes:
            return ScoredProposals.empty(len(self.bundle.labels))
        # Peaks, and through them proposals, depend on the set of classes and on nothing else of the request.
        key = Key("proposals", image.sha256, self.bundle.digest, classes)
        work = partial(self._stages.propose_and_score, features, classes, letterbox, timings)
        return await self._cache.get(key, work)

    def _detections(
        self, image: DecodedImage, found: Detections, letterbox: Letterbox, masks: list[DrawnMask]
    ) -> tuple[Detection, ...]:
        boxes = np.round(letterbox.boxes_to_image(found.boxes_xyxy).astype(np.float64), 2).tolist()
        names = [self.bundle.labels.names[label] for label in found.labels]
        scores = np.clip(found.scores.astype(np.float64), 0, 1).round(6).tolist()
        return tuple(
            Detection(
                id=_detection_id(image.sha256, name, box),
                label=name,
                score=score,
                box_xyxy=tuple(box),
                mask=mask,
                mask_score=mask_score,
                source="detector" if by_detector else "wsod",
            )
            for name, score, box, by_detector, (mask, mask_score) in zip(
                names, scores, boxes, found.by_detector, masks, strict=True
            )
        )

    def _ledger(self, tags: Iterable[Tag], evidence: Evidence) -> tuple[TagRow, ...]:
        rows = tuple(tag_row(tag, evidence, self.bundle.labels) for tag in tags)
        for row in rows:
            self.metrics.tag(row)
        return rows


def _detection_id(image_sha256: str, label: str, box_xyxy: Sequence[float]) -> str:
    return hashlib.sha256(f"{image_sha256} {label} {box_xyxy}".encode()).hexdigest()[:16]
