"""The active bundle: its pipeline, and how another bundle takes over while requests go on."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np

from models.bundle import Bundle
from models.image import DecodedImage, pixels_sha256
from service.inference.pipeline import Pipeline
from weaksam.schemas import DetectOptions

ReloadOutcome = Literal["swapped", "unchanged"]


class _Leased:
    """A pipeline and the number of requests that use it."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.idle = asyncio.Event()
        self.idle.set()
        self._requests = 0

    @contextmanager
    def lease(self) -> Iterator[Pipeline]:
        self._requests += 1
        self.idle.clear()
        try:
            yield self.pipeline
        finally:
            self._requests -= 1
            if not self._requests:
                self.idle.set()


class ActiveBundle:
    """One pipeline at a time. A lease keeps its pipeline open to the end, even if another one takes over meanwhile.

    Args:
        pipeline: the first one.
        read: reads the configured bundle as it is now; called in a thread.
        open_: opens a pipeline on a bundle; called in a thread.

    Attributes:
        warm: whether a warm-up inference has passed through the present pipeline.
    """

    def __init__(self, pipeline: Pipeline, read: Callable[[], Bundle], open_: Callable[[Bundle], Pipeline]) -> None:
        self._current = _Leased(pipeline)
        self._read = read
        self._open = open_
        self._reload_lock = asyncio.Lock()
        self.warm = False

    @property
    def pipeline(self) -> Pipeline:
        """The present pipeline; to run it, take a lease."""
        return self._current.pipeline

    @contextmanager
    def lease(self) -> Iterator[Pipeline]:
        """Yield the present pipeline; it is not closed before the block ends."""
        with self._current.lease() as pipeline:
            yield pipeline

    async def warm_up(self) -> None:
        """Run every graph of the present pipeline once; raise what the pipeline raises."""
        with self.lease() as pipeline:
            await _warm_up(pipeline)
        self.warm = True

    async def reload(self) -> ReloadOutcome:
        """Read the bundle again. Another one is warmed up, takes over, and the old one closes after its last request.

        Reloads run one at a time, and each waits for the old pipeline's requests. So there are never more than two
        pipelines, nor two of one digest, which would share computations in the cache.

        Raises:
            Exception: reading, opening or warming up raised it; the old pipeline stays.
        """
        async with self._reload_lock:
            bundle = await asyncio.to_thread(self._read)
            if bundle.digest == self.pipeline.bundle.digest:
                if not self.warm:
                    await self.warm_up()
                return "unchanged"
            fresh = await asyncio.to_thread(self._open, bundle)
            try:
                await _warm_up(fresh)
            except BaseException:
                await fresh.aclose()
                raise
            old, self._current = self._current, _Leased(fresh)
            self.warm = True
            await old.idle.wait()
            await old.pipeline.aclose()
            _return_freed_memory()
            return "swapped"

    async def aclose(self) -> None:
        """Close the present pipeline."""
        await self.pipeline.aclose()


def _return_freed_memory() -> None:
    """Give the system back what the old bundle took: glibc would keep hundreds of megabytes for later."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have no such function
    if trim is not None:
        trim(0)


async def _warm_up(pipeline: Pipeline) -> None:
    tags = pipeline.bundle.labels.names[:1]
    # With an explanation, proposals are made and scored even if the detector has found everything.
    await pipeline.detect(_warm_up_image(), tags, DetectOptions(min_score=0, max_detections=1, explain=True))


def _warm_up_image() -> DecodedImage:
    # Plain squares on grey: if nothing is found, the later graphs do not run.
    image_hwc_u8 = np.full((192, 256, 3), 128, np.uint8)
    for i, rgb in enumerate(np.eye(3, dtype=np.uint8) * 255):
        image_hwc_u8[64:128, 80 * i + 16 : 80 * i + 80] = rgb
    return DecodedImage(image_hwc_u8, "warm-up", pixels_sha256(image_hwc_u8))
