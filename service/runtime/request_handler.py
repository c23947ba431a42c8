"""One request from bytes to bytes: admission, deadline, decoding, the pipeline and the form of the answer."""

from __future__ import annotations

import asyncio

from service.inference.decoding import decode
from service.inference.overlay import draw_overlay
from service.inference.pipeline import Pipeline
from service.observability.timings import Timings
from service.runtime.active_bundle import Served
from service.runtime.admission import Admission, deadline
from service.settings import Settings
from weaksam.schemas import AnyRequest


class Detector:
    """Answers requests through whatever pipeline is served, each through one, within the limits of `settings`."""

    def __init__(self, settings: Settings, served: Served) -> None:
        self._served = served
        self._settings = settings
        self._admission = Admission(settings.workers, settings.queue_size, self.pipeline.metrics)

    @property
    def pipeline(self) -> Pipeline:
        """The one that answers the next request."""
        return self._served.pipeline

    @property
    def upload_s(self) -> float:
        """Longest time for a request's body to arrive."""
        return self._settings.upload_s

    async def detect(self, asked: AnyRequest, *, overlay: bool) -> bytes:
        """The answer as JSON, or as PNG with `overlay`.

        Raises:
            ServiceError: any of them.
        """
        timings = Timings(self.pipeline.metrics)
        async with deadline(self._settings.deadline_s), self._admission.worker(timings):
            with timings.stage("decode"):
                image = await asyncio.to_thread(decode, asked.image, self._settings.max_pixels)
            options = asked.model_copy(update={"mask_format": "rle"}) if overlay else asked
            with self._served.lease() as pipeline:
                result = await pipeline.detect(image, asked.tags, options, timings)
            if not overlay:
                return result.model_dump_json().encode()
            return await asyncio.to_thread(draw_overlay, image.image_hwc_u8, result)
