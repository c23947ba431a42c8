"""The pipeline that answers, and its replacement by that of another bundle while requests go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np

from models.image import DecodedImage, pixels_sha256
from service.inference.pipeline import Pipeline
from weaksam.schemas import DetectOptions

ReloadOutcome = Literal["swapped", "unchanged"]


class _Leased:
    """A pipeline and the requests that it is answering."""

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


class Served:
    """One pipeline at a time; whoever leases it keeps it to the end of the lease, whatever is served meanwhile.

    Args:
        pipeline: the first one.
        reopen: makes a pipeline from what now lies where the bundle is configured; called in a thread.

    Attributes:
        warm: whether a warm-up inference has passed through the present pipeline.
    """

    def __init__(self, pipeline: Pipeline, reopen: Callable[[], Pipeline]) -> None:
        self._now = _Leased(pipeline)
        self._reopen = reopen
        self._one_reload = asyncio.Lock()
        self.warm = False

    @property
    def pipeline(self) -> Pipeline:
        """The present one; for more than a look at it, take a lease."""
        return self._now.pipeline

    @contextmanager
    def lease(self) -> Iterator[Pipeline]:
        """The present pipeline, which is not closed before the block ends."""
        with self._now.lease() as pipeline:
            yield pipeline

    async def warm_up(self) -> None:
        """Run every graph of the present pipeline once; raises what the pipeline raises."""
        await _warm_up(self.pipeline)
        self.warm = True

    async def reload(self) -> ReloadOutcome:
        """Open the bundle again, warm it up, let it take over, and close the old one after its last request.

        Reloads wait for each other, and each for the end of the old pipeline's requests: at no time are there more
        than two pipelines, nor two of one digest that would share what is in flight in the cache.

        Raises:
            Exception: whatever opening or warming up raises; the old pipeline then stays.
        """
        async with self._one_reload:
            fresh = await asyncio.to_thread(self._reopen)
            if fresh.info.digest == self.pipeline.info.digest:
                await fresh.backend.aclose()
                if not self.warm:
                    await self.warm_up()
                return "unchanged"
            try:
                await _warm_up(fresh)
            except BaseException:
                await fresh.aclose()
                raise
            old, self._now = self._now, _Leased(fresh)
            self.warm = True
            await old.idle.wait()
            await old.pipeline.aclose()
            return "swapped"

    async def aclose(self) -> None:
        """Close the present pipeline."""
        await self.pipeline.aclose()


async def _warm_up(pipeline: Pipeline) -> None:
    tags = pipeline.bundle.labels.names[:1]
    # An explanation has proposals made and scored even where a detector has found everything.
    await pipeline.detect(_warm_up_picture(), tags, DetectOptions(min_score=0, max_detections=1, explain=True))


def _warm_up_picture() -> DecodedImage:
    # Plain things on plain ground: where nothing is found, the later graphs do not run.
    image_hwc_u8 = np.full((192, 256, 3), 128, np.uint8)
    for i, rgb in enumerate(np.eye(3, dtype=np.uint8) * 255):
        image_hwc_u8[64:128, 80 * i + 16 : 80 * i + 80] = rgb
    return DecodedImage(image_hwc_u8, "warm-up", pixels_sha256(image_hwc_u8))
