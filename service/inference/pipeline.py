"""From an image and its tags to labelled boxes and masks, without HTTP.

The service, the command line and the evaluation all call `Pipeline.detect`, so that what is measured is what is served.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from models.bundle import DETECTOR, Bundle
from models.detections import Detections
from models.image import DecodedImage
from models.letterbox import Letterbox
from models.postprocess import move_to_mask
from service.backends.base import Backend
from service.inference.cache import Key, ResultCache
from service.inference.explain import explain
from service.inference.image_features import CachedImage, ImageFeatures, not_cached
from service.inference.ledger import Evidence, collect_evidence, tag_row
from service.inference.mask_rendering import MaskRenderer, RenderedMask
from service.inference.prompt_budget import prompt_limit
from service.inference.segment import Segmenting, render_levels, within_image
from service.inference.selection import missed_by_detector, select
from service.inference.stage_results import Classes, DetectorOutput, GraphInputs, RequestedClasses
from service.inference.stages import Stages
from service.inference.tags import Tag, known_classes, plausible_classes, predict_tags, resolve_tags
from service.observability.metrics import Metrics
from service.observability.timings import Timings
from weaksam.arrays import Float32
from weaksam.mask_schemas import MaskOptions
from weaksam.schemas import (
    Box,
    BundleInfo,
    Detection,
    DetectOptions,
    DetectResult,
    ImageInfo,
    TagRow,
)
from weaksam.segment_schemas import SegmentParameters, SegmentResult

MAX_PROMPTED_BOXES = 16


@dataclass(frozen=True)
class RequestLimits:
    """Bounds on every request: different tags sent, and detections returned."""

    max_tags: int = 100
    max_detections: int = 100


class Pipeline:
    """Serves one bundle; safe to call from many tasks of one event loop at once.

    Args:
        bundle: what is served.
        backend: runs its graphs; `aclose` closes it.
        cache: of intermediate results.
        limits: bounds on every request.
        metrics: counts images, encodes, stages and tags.
        zoom: of requests that do not say it.

    Attributes:
        info: name, version and digest of the bundle, as results state them.

    Raises:
        BackendMismatch: backend and bundle do not fit.
    """

    def __init__(
        self,
        bundle: Bundle,
        backend: Backend,
        cache: ResultCache,
        limits: RequestLimits,
        metrics: Metrics,
        *,
        zoom: bool = False,
    ) -> None:
        self.bundle = bundle
        self.backend = backend
        self.metrics = metrics
        self._cache = cache
        self._limits = limits
        self._zoom_by_default = zoom
        self._stages = Stages(bundle, backend, metrics)
        self.info = BundleInfo.model_validate(bundle)

    async def aclose(self) -> None:
        """Close the backend and drop what is cached of the bundle. No request may be running."""
        self._cache.forget_bundle(self.bundle.digest)
        await self.backend.aclose()

    async def detect(
        self,
        image: DecodedImage,
        tags: Iterable[str] = (),
        options: DetectOptions | None = None,
        timings: Timings | None = None,
    ) -> DetectResult:
        """Return boxes and masks of the tagged classes, and of no other; every tag has its row in the ledger.

        Args:
            image: upright RGB.
            tags: label names as a user writes them; if there are none, classifier and detector propose them.
            options: what to return.
            timings: a clock that runs already, if there was work before this call.

        Raises:
            UnknownTag, TooManyTags: the tags are at fault.
            BackendFailure, BackendUnavailable: a graph could not be run.
        """
        options, timings = options or DetectOptions(), timings or Timings(self.metrics)
        letterbox = Letterbox(image.size_hw, self.bundle.side_px)
        features = ImageFeatures(self._stages, self._cache, self.bundle, image, letterbox, timings)
        sent = await asyncio.to_thread(self._resolve, tags, options)
        self.metrics.image()  # only here: an unknown tag is refused before any model runs
        requested = sent or await self._predicted(features)
        classes = known_classes(requested)
        detector = await features.detected(classes)
        full = options.explain or (options.effort or self.bundle.post.effort) == "full"
        needed = classes if full else missed_by_detector(self.bundle, detector, classes)
        max_prompts = prompt_limit(self.bundle, needed, full=full)
        scored = await features.scored(needed, self._boxes_to_prompt(detector, needed), max_prompts)
        limit = min(options.max_detections or self._limits.max_detections, self._limits.max_detections)
        plausible = await self._plausible(sent, features) if needed else ()
        wanted = RequestedClasses(classes, needed, plausible)
        with timings.stage("select"):
            selection = await asyncio.to_thread(
                select, self.bundle, detector, scored, wanted, letterbox, options, limit
            )
        with timings.stage("masks"):
            zoom = self._zoom(options)
            if zoom:
                await features.zoomable()  # kept, so that a click can zoom without sending the image again
            renderer = MaskRenderer(self._stages, self.bundle, letterbox, features, detector, scored, zoom=zoom)
            masks = await renderer.render(selection.returned, options)
        # The classifier's scores matter only to a tag that was lost, and to an explanation.
        lost = not set(classes) <= set(selection.returned.labels.tolist())
        class_maps = await features.class_maps() if lost or options.explain else None
        evidence = collect_evidence(self.bundle, class_maps.tag_scores if class_maps else None, scored, selection)
        explanation = None
        if options.explain and class_maps:
            explanation = await asyncio.to_thread(explain, self.bundle, letterbox, class_maps, scored, selection)
        return DetectResult(
            image=ImageInfo(width=image.size_hw[1], height=image.size_hw[0], sha256=image.sha256),
            detections=self._detections(image, selection.returned, letterbox, masks),
            tags=self._ledger(requested, evidence),
            timing_ms=timings.as_ms(),
            bundle=self.info,
            prompts_asked=scored.proposal_set.prompt_count,
            explain=explanation,
            warnings=image.warnings,
        )

    async def segment(
        self, image: DecodedImage | None, request: SegmentParameters, timings: Timings | None = None
    ) -> SegmentResult:
        """Return the masks that points and a box of one object may mean.

        Args:
            image: upright RGB; None for the cached one that `request.image_sha256` names.
            request: the prompt, in pixels of the upright image, and the form of the masks.
            timings: as in `detect`.

        Raises:
            InvalidRequest: a point on the object, or the whole box, lies outside of the image.
            ImageNotCached: nothing is kept of that image, or not any longer.
            BackendFailure, BackendUnavailable: a graph could not be run.
        """
        timings = timings or Timings(self.metrics)
        source = image or self._cached_image(request.image_sha256 or "")
        image_hw = source.size_hw if isinstance(source, DecodedImage) else source.inputs.image_hw
        request = within_image(request, image_hw)
        letterbox = Letterbox(image_hw, self.bundle.side_px)
        features = ImageFeatures(self._stages, self._cache, self.bundle, source, letterbox, timings)
        await features.inputs()  # kept, so that the next click need not send the image again
        segmenting = Segmenting(self._stages, features, letterbox, request, timings)
        levels = await segmenting.levels(zoom=self._zoom(request))
        with timings.stage("masks"):
            masks = await render_levels(levels, request)
        return SegmentResult(
            image=ImageInfo(width=image_hw[1], height=image_hw[0], sha256=source.sha256),
            masks=masks,
            timing_ms=timings.as_ms(),
            bundle=self.info,
            warnings=image.warnings if image is not None else (),
        )

    def _cached_image(self, sha256: str) -> CachedImage:
        inputs = self._cache.peek(Key("inputs", sha256, self.bundle.digest))
        if not isinstance(inputs, GraphInputs):
            raise not_cached(sha256)
        return CachedImage(sha256, inputs)

    def _zoom(self, options: MaskOptions) -> bool:
        return self._zoom_by_default if options.zoom is None else options.zoom

    def _resolve(self, tags: Iterable[str], options: DetectOptions) -> list[Tag]:
        skip_unknown = options.unknown_tags == "skip"
        return resolve_tags(tags, self.bundle.labels, max_tags=self._limits.max_tags, skip_unknown=skip_unknown)

    async def _predicted(self, features: ImageFeatures) -> list[Tag]:
        every_class = tuple(range(len(self.bundle.labels)))
        class_maps, detector = await asyncio.gather(features.class_maps(), features.detected(every_class))
        return predict_tags(class_maps.tag_scores, detector.found, self.bundle)

    async def _plausible(self, sent: list[Tag], features: ImageFeatures) -> Classes:
        class_maps = await features.class_maps()  # the proposals are made from these, so they are at hand
        return plausible_classes(sent, class_maps.tag_scores, self.bundle)

    def _boxes_to_prompt(self, detector: DetectorOutput, needed: Classes) -> Float32 | None:
        """Return the detector's boxes [B,4] of classes that need proposals, best first; None without a time budget.

        Few prompts must go where something may be; without a budget the grid finds it.
        """
        if not self.bundle.prompts.budget_ms or DETECTOR not in self.bundle.graphs:
            return None
        found = detector.found[np.isin(detector.found.labels, needed)]
        boxes_xyxy: Float32 = found.boxes_xyxy[np.argsort(-found.scores, kind="stable")[:MAX_PROMPTED_BOXES]]
        return boxes_xyxy

    def _detections(
        self, image: DecodedImage, found: Detections, letterbox: Letterbox, masks: list[RenderedMask]
    ) -> tuple[Detection, ...]:
        own_boxes = letterbox.boxes_to_image(found.boxes_xyxy)
        share = self.bundle.post.box_mask_share
        boxes = [move_to_mask(box, mask.box_xyxy_px, share) for box, mask in zip(own_boxes, masks, strict=True)]
        names = [self.bundle.labels.names[label] for label in found.labels]
        scores = np.clip(found.scores.astype(np.float64), 0, 1).round(6).tolist()
        return tuple(
            Detection(
                id=_detection_id(image.sha256, name, _rounded(own_box)),
                label=name,
                score=score,
                box_xyxy=_rounded(box),
                mask=mask.mask,
                mask_score=mask.score,
                source="detector" if by_detector else "wsod",
            )
            for name, score, own_box, box, by_detector, mask in zip(
                names, scores, own_boxes, boxes, found.by_detector, masks, strict=True
            )
        )

    def _ledger(self, tags: Iterable[Tag], evidence: Evidence) -> tuple[TagRow, ...]:
        rows = tuple(tag_row(tag, evidence, self.bundle.labels) for tag in tags)
        for row in rows:
            self.metrics.tag(row)
        return rows


def _rounded(box_xyxy_px: Float32) -> Box:
    x0, y0, x1, y1 = np.round(box_xyxy_px.astype(np.float64), 2).tolist()
    return x0, y0, x1, y1


def _detection_id(image_sha256: str, label: str, box_xyxy_px: Box) -> str:
    return hashlib.sha256(f"{image_sha256} {label} {list(box_xyxy_px)}".encode()).hexdigest()[:16]
