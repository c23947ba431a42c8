"""What the graphs know of one image, each part computed when it is first needed."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial

from models.image import DecodedImage
from models.letterbox import Letterbox
from service.inference.cache import Key, ResultCache, Value
from service.inference.stage_results import ClassMaps, GraphInputs, SegmenterFeatures
from service.inference.stages import Stages
from service.observability.timings import Timings


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
        bundle_digest: of the bundle that `stages` runs.
        source: the image, upright RGB, or one whose inputs are still cached.
        letterbox: of the segmenter's input.
        timings: the request's clock.
    """

    def __init__(
        self,
        stages: Stages,
        cache: ResultCache,
        bundle_digest: str,
        source: DecodedImage | CachedImage,
        letterbox: Letterbox,
        timings: Timings,
    ) -> None:
        self._stages = stages
        self._cache = cache
        self._bundle_digest = bundle_digest
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

    async def segmenter(self) -> SegmenterFeatures:
        """Return what the segmenter knows of the image before any prompt."""
        if self._segmenter is None:
            self._segmenter = await self._shared("sam_encoder", self._run_sam_encoder)
        return self._segmenter

    async def _run_cam(self) -> ClassMaps:
        return await self._stages.class_maps(await self.inputs(), self._timings)

    async def _run_sam_encoder(self) -> SegmenterFeatures:
        return await self._stages.segmenter_features(await self.inputs(), self._timings)

    async def _shared(self, kind: str, work: Callable[[], Coroutine[None, None, Value]]) -> Value:
        return await self._cache.get(Key(kind, self._source.sha256, self._bundle_digest), work)
