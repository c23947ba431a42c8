"""One request from bytes to its result: admission, deadline, decoding and pipeline."""

from __future__ import annotations

import asyncio

from models.image import DecodedImage
from service.errors import InvalidRequest
from service.inference.decoding import decode
from service.inference.overlay import draw_overlay
from service.inference.pipeline import Pipeline
from service.observability.timings import Timings
from service.runtime.active_bundle import ActiveBundle
from service.runtime.admission import Admission, deadline
from service.settings import Settings
from weaksam.schemas import AnyRequest, DetectOptions, DetectResult
from weaksam.segment_schemas import AnySegmentRequest, SegmentResult


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

    async def detect(self, request: AnyRequest) -> DetectResult:
        """Return what was found in the image.

        Raises:
            ServiceError: any of them.
        """
        timings = Timings(self.pipeline.metrics)
        async with deadline(self._settings.deadline_s), self._admission.worker(timings):
            image = await self._decode(request.image, timings)
            with self._active.lease() as pipeline:
                return await pipeline.detect(image, request.tags, request, timings)

    async def overlay(self, request: AnyRequest) -> bytes:
        """Return the image with the detections drawn on it, as PNG; errors as `detect`."""
        timings = Timings(self.pipeline.metrics)
        async with deadline(self._settings.deadline_s), self._admission.worker(timings):
            image = (await self._decode(request.image, timings)).at_decoded_size()
            options: DetectOptions = request.model_copy(update={"mask_format": "rle"})
            with self._active.lease() as pipeline:
                result = await pipeline.detect(image, request.tags, options, timings)
            return await asyncio.to_thread(draw_overlay, image.image_hwc_u8, result)

    async def segment(self, request: AnySegmentRequest) -> SegmentResult:
        """Return the masks that a prompt may mean.

        Raises:
            ServiceError: any of them.
        """
        if request.image is None and request.image_sha256 is None:
            raise InvalidRequest.of_field("image", "is missing: send it, or image_sha256 of an earlier response")
        if request.image is not None and request.image_sha256 is not None:
            raise InvalidRequest.of_field("image_sha256", "is sent beside image: send one of the two")
        timings = Timings(self.pipeline.metrics)
        async with deadline(self._settings.deadline_s), self._admission.worker(timings):
            image = None if request.image is None else await self._decode(request.image, timings)
            with self._active.lease() as pipeline:
                return await pipeline.segment(image, request, timings)

    async def _decode(self, data: bytes, timings: Timings) -> DecodedImage:
        with timings.stage("decode"):
            return await asyncio.to_thread(decode, data, self._settings.max_pixels, self._settings.max_declared_pixels)
