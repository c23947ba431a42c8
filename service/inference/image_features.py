"""What the graphs know of one image, each part computed when it is first needed."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from models.bundle import DETECTOR, Bundle
from models.image import DecodedImage
from models.letterbox import Letterbox, Part
from service.errors import ImageNotCached
from service.inference.cache import Key, ResultCache, Value
from service.inference.stage_results import (
    Classes,
    ClassMaps,
    DetectorOutput,
    GraphInputs,
    ScoredProposals,
    SegmenterFeatures,
)
from service.inference.stages import Stages
from service.observability.timings import Timings
from weaksam.arrays import Float32


@dataclass(frozen=True)
class CachedImage:
    """An image that an earlier request sent: its digest, and the graphs' inputs made from it."""

    sha256: str
    inputs: GraphInputs


class ImageFeatures:
    """The features of one image, for one request.

    No graph runs before its output is needed, and none runs twice for an image: requests share what the cache holds,
    and a request keeps what the cache has no room for.

    Args:
        stages: runs the graphs.
        cache: shared by all requests.
        bundle: the one that `stages` runs.
        source: the image, upright RGB, or one whose inputs are still cached.
        letterbox: of the segmenter's input.
        timings: the request's clock.
    """

    def __init__(
        self,
        stages: Stages,
        cache: ResultCache,
        bundle: Bundle,
        source: DecodedImage | CachedImage,
        letterbox: Letterbox,
        timings: Timings,
    ) -> None:
        self._stages = stages
        self._cache = cache
        self._bundle = bundle
        self._source = source
        self._letterbox = letterbox
        self._timings = timings
        self._inputs: GraphInputs | None = None
        self._class_maps: ClassMaps | None = None
        self._segmenter: SegmenterFeatures | None = None

    async def inputs(self) -> GraphInputs:
        """Return the image as the graphs take it."""
        if isinstance(self._source, CachedImage):
            return self._source.inputs
        if self._inputs is None:
            work = partial(self._stages.letterbox, self._source, self._letterbox, self._timings)
            self._inputs = await self._shared("inputs", work)
        return self._inputs

    async def class_maps(self) -> ClassMaps:
        """Return the classifier's scores and maps."""
        if self._class_maps is None:
            self._class_maps = await self._shared("cam", self._run_cam)
        return self._class_maps

    async def segmenter(self, part_xyxy: Part | None = None) -> SegmenterFeatures:
        """Return what the segmenter knows of the image, or of a part of it, before any prompt.

        The request does not keep what is known of parts: there may be many, of megabytes each.

        Raises:
            ImageNotCached: a part is asked for, and the image is known by its digest alone.
        """
        if part_xyxy is not None:
            return await self._shared("sam_encoder", partial(self._run_sam_encoder, part_xyxy), str(part_xyxy))
        if self._segmenter is None:
            self._segmenter = await self._shared("sam_encoder", partial(self._run_sam_encoder, None))
        return self._segmenter

    async def zoomable(self) -> npt.NDArray[np.uint8]:
        """Return the image, as large as `segmenter` needs it to cut parts from; kept for later requests.

        Raises:
            ImageNotCached: it is not kept, and the request names the image by its digest alone.
        """
        return await self._shared("zoomable", self._shrink)

    async def detected(self, classes: Classes) -> DetectorOutput:
        """Return what the retrained detector finds of some classes; nothing in a bundle without one."""
        if DETECTOR not in self._bundle.graphs or not classes:
            return DetectorOutput.empty()

        async def work() -> DetectorOutput:
            return await self._stages.detect(await self.inputs(), classes, self._letterbox, self._timings)

        return await self._cache.get(self._key(DETECTOR, classes), work)

    async def scored(self, classes: Classes, boxes_xyxy: Float32 | None, max_prompts: int) -> ScoredProposals:
        """Return proposals for some classes, scored by the weak detector.

        Args:
            classes: whose peaks become prompts.
            boxes_xyxy: [B,4] in pixels of the segmenter's input, which become prompts too; None for none.
            max_prompts: how many prompts may be asked.
        """
        if not classes:
            return ScoredProposals.empty(len(self._bundle.labels))

        # Proposals depend on the classes, these boxes and the limit of prompts, and on nothing else of the request.
        boxes_digest = "" if boxes_xyxy is None else hashlib.sha256(boxes_xyxy.tobytes()).hexdigest()
        key = self._key("proposals", classes, f"{max_prompts} {boxes_digest}")
        if self._cache.peek(key) is None:
            # By the request itself: it may need them again for masks, and equal requests then share these runs.
            await asyncio.gather(self.class_maps(), self.segmenter())

        async def work() -> ScoredProposals:
            inputs, class_maps = await self.inputs(), await self.class_maps()
            segmenter = await self.segmenter()
            return await self._stages.propose_and_score(
                inputs, class_maps, segmenter, classes, self._letterbox, self._timings, boxes_xyxy, max_prompts
            )

        return await self._cache.get(key, work)

    async def _run_cam(self) -> ClassMaps:
        return await self._stages.class_maps(await self.inputs(), self._timings)

    async def _run_sam_encoder(self, part_xyxy: Part | None) -> SegmenterFeatures:
        letterbox = replace(self._letterbox, part_xyxy=part_xyxy)
        if part_xyxy is None:
            square_hwc_u8 = (await self.inputs()).segmenter_bhwc_u8[0]
        else:
            square_hwc_u8 = await self._stages.enlarge(await self.zoomable(), letterbox, self._timings)
        return await self._stages.segmenter_features(square_hwc_u8, letterbox, self._timings)

    async def _shrink(self) -> npt.NDArray[np.uint8]:
        if isinstance(self._source, CachedImage):
            raise not_cached(self._source.sha256)
        return await self._stages.shrink(self._source, self._timings)

    async def _shared(self, kind: str, work: Callable[[], Coroutine[None, None, Value]], detail: str = "") -> Value:
        return await self._cache.get(self._key(kind, detail=detail), work)

    def _key(self, kind: str, classes: Classes | None = None, detail: str = "") -> Key:
        return Key(kind, self._source.sha256, self._bundle.digest, classes, detail)


def not_cached(sha256: str) -> ImageNotCached:
    """Return the error for an image that is named by its digest, if too little of it is kept."""
    return ImageNotCached(f"image_sha256 {sha256} is not cached, or not any longer: send the image itself")
