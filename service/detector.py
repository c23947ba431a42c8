"""One request from bytes to bytes: admission, deadline, decoding, the pipeline and the form of the answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

import numpy as np

from models.image import DecodedImage, ImageError, ImageErrorCode, decode_image, pixels_sha256
from service.body import AnyRequest
from service.errors import ImageBroken, ImageTooLarge, NotAnImage, NotReady, RequestError
from service.logs import LOGGER_NAME
from service.overlay import draw_overlay
from service.pipeline import Pipeline
from service.queue import Admission, deadline
from service.schemas import DetectOptions
from service.settings import Settings
from service.timings import Timings

ERROR_OF_IMAGE: Mapping[ImageErrorCode, type[RequestError]] = {
    "not_an_image": NotAnImage,
    "image_too_large": ImageTooLarge,
    "image_broken": ImageBroken,
}

logger = logging.getLogger(LOGGER_NAME)


class Detector:
    """Answers requests through `pipeline`, within the limits of `settings`."""

    def __init__(self, settings: Settings, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self._settings = settings
        self._admission = Admission(settings.workers, settings.queue_size, pipeline.metrics)
        self._warm = False

    async def detect(self, asked: AnyRequest, *, overlay: bool) -> bytes:
        """The answer as JSON, or as PNG with `overlay`.

        Raises:
            ServiceError: any of them.
        """
        timings = Timings(self.pipeline.metrics)
        async with deadline(self._settings.deadline_s), self._admission.worker(timings):
            with timings.stage("decode"):
                image = await asyncio.to_thread(decode, asked.image, self._settings.max_pixels)
            if not overlay:
                result = await self.pipeline.detect(image, asked.tags, asked, timings)
                return result.model_dump_json().encode()
            with_masks = asked.model_copy(update={"mask_format": "rle"})
            result = await self.pipeline.detect(image, asked.tags, with_masks, timings)
            return await asyncio.to_thread(draw_overlay, image.image_hwc_u8, result)

    async def warm_up(self) -> None:
        """Run every graph once through the pipeline; `check_ready` passes only after that."""
        image = _warm_up_picture()
        tags = self.pipeline.bundle.labels.names[:1]
        try:
            await self.pipeline.detect(image, tags, DetectOptions(min_score=0, max_detections=1))
        except Exception:
            logger.exception("the warm-up inference failed: the service stays not ready")
            return
        self._warm = True
        logger.info("ready")

    async def check_ready(self) -> None:
        """Raises NotReady until a warm-up inference has passed, and whenever the backend is not ready."""
        if not self._warm:
            raise NotReady("the warm-up inference has not passed: wait, or see the log", retry_after_s=1)
        if not await self.pipeline.backend.ready():
            raise NotReady("the inference backend is not ready: wait, or see the log", retry_after_s=1)


def _warm_up_picture() -> DecodedImage:
    # Plain things on plain ground: where nothing is found, the later graphs do not run.
    image_hwc_u8 = np.full((192, 256, 3), 128, np.uint8)
    for i, rgb in enumerate(np.eye(3, dtype=np.uint8) * 255):
        image_hwc_u8[64:128, 80 * i + 16 : 80 * i + 80] = rgb
    return DecodedImage(image_hwc_u8, "warm-up", pixels_sha256(image_hwc_u8))


def decode(data: bytes, max_pixels: int) -> DecodedImage:
    """`decode_image` with its errors as the service's own."""
    try:
        return decode_image(data, max_pixels=max_pixels)
    except ImageError as error:
        raise ERROR_OF_IMAGE[error.code](str(error)) from error
