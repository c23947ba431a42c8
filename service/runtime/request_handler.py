"""One request from bytes to bytes: admission, deadline, decoding, pipeline and the form of the response."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from models.image import DecodedImage
from service.errors import InvalidRequest
from service.inference.decoding import decode
from service.inference.overlay import draw_overlay
from service.inference.pipeline import Pipeline
from service.observability.timings import Timings
from service.runtime.active_bundle import ActiveBundle
from service.runtime.admission import Admission, deadline
from service.settings import Settings
from weaksam.schemas import AnyRequest, DetectOptions
from weaksam.segment_schemas import AnySegmentRequest


class RequestHandler:
    """Handles requests on the active bundle, within the limits of `settings`."""

    def __init__(self, settings: Settings, active: ActiveBundle) -> None:
        self._active = active
        self._settings = settings
        self._admission = Admission(settings.workers, settings.queue_size, self.pipeline.metrics)

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline of the next request."""
        return self._active.pipeline

    @property
    def upload_s(self) -> float:
        """Longest time for a request's body to arrive."""
        return self._settings.upload_s

    async def detect(self, request: AnyRequest, *, overlay: bool) -> bytes:
        """Return the result as JSON, or as PNG with `overlay`.

        Raises:
            ServiceError: any of them.
        """
        timings = Timings(self.pipeline.metrics)
        async with deadline(self._settings.deadline_s), self._admission.worker(timings):
            image = await self._decode(request.image, timings)
            options: DetectOptions = request
            if overlay:
                # Drawn at the size of its pixels, if the image was decoded at a reduced scale.
                image, options = replace(image, full_hw=None), request.model_copy(update={"mask_format": "rle"})
            with self._active.lease() as pipeline:
                result = await pipeline.detect(image, request.tags, options, timings)
            if not overlay:
                return result.model_dump_json().encode()
            return await asyncio.to_thread(draw_overlay, image.image_hwc_u8, result)

    async def segment(self, request: AnySegmentRequest) -> bytes:
        """Return the masks that a prompt may mean, as JSON.

        Raises:
            ServiceError: any of them.
        """
        if (request.image is None) == (request.image_sha256 is None):
            raise InvalidRequest("image, image_sha256: send one of the two")
        timings = Timings(self.pipeline.metrics)
        async with deadline(self._settings.deadline_s), self._admission.worker(timings):
            image = None if request.image is None else await self._decode(request.image, timings)
            with self._active.lease() as pipeline:
                result = await pipeline.segment(image, request, timings)
            return result.model_dump_json().encode()

    async def _decode(self, data: bytes, timings: Timings) -> DecodedImage:
        with timings.stage("decode"):
            return await asyncio.to_thread(decode, data, self._settings.max_pixels, self._settings.max_declared_pixels)
