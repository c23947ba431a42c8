"""Predictions for the tasks of a project, one entry for each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.errors import Busy, CapacityError, InternalError, InvalidRequest, ServiceError
from service.http.integrations.fetch_image import ImageFetcher
from service.http.integrations.label_studio import regions
from service.http.integrations.label_studio.images import image_url
from service.http.integrations.label_studio.label_config import parse_label_config
from service.http.integrations.label_studio.project_labels import ProjectLabels
from service.http.integrations.label_studio.regions import Entry
from service.http.integrations.label_studio.smart_tools import drawn_regions, label_and_control, prompt_fields
from service.http.integrations.label_studio.task_tags import tags_of_task
from service.http.integrations.requests import our_request
from service.observability.logs import FIELDS, LOGGER_NAME
from service.runtime.request_handler import RequestHandler
from weaksam.schemas import DetectResult, JsonDetectRequest
from weaksam.segment_schemas import JsonSegmentRequest

# An entry that holds no prediction: Label Studio stores nothing, and asks for the task again the next time.
NO_PREDICTION: list[Entry] = []

logger = logging.getLogger(LOGGER_NAME)


@dataclass(frozen=True)
class PredictLimits:
    """Bounds on `/predict`: whole tasks and clicks at once, in all calls together, and the time of one call."""

    tasks_at_once: int
    clicks_at_once: int
    predict_s: float


class LabelStudioBackend:
    """Predicts tasks through the pipeline of `POST /detect`, and clicks through that of `POST /segment`.

    Args:
        fetcher: fetches the images that tasks name.
        base_url: of Label Studio, without a slash at its end; None if it is not configured.
    """

    def __init__(
        self, handler: RequestHandler, fetcher: ImageFetcher, base_url: str | None, limits: PredictLimits
    ) -> None:
        self._handler = handler
        self._fetcher = fetcher
        self._base_url = base_url
        self._predict_s = limits.predict_s
        self._tasks = asyncio.Semaphore(limits.tasks_at_once)
        self._clicks = asyncio.Semaphore(limits.clicks_at_once)

    @property
    def version(self) -> str:
        """What predictions of the active bundle carry as their model version."""
        return regions.version_of(self._handler.pipeline.info)

    def setup(self, label_config: object) -> tuple[str, ...]:
        """Return what a user should know of a project before it is predicted, as sentences; they are logged too."""
        try:
            warnings = self._labels(label_config).warnings()
        except InvalidRequest as error:
            warnings = (error.detail,)
        if warnings:
            logger.warning("label studio: %s", "; ".join(warnings))
        return warnings

    async def predict(
        self, tasks: Sequence[Mapping[str, Any]], label_config: object, params: object
    ) -> list[Entry | list[Entry]]:
        """Return one entry for each task, in their order, whatever happens.

        A task that cannot be predicted has an entry without regions that says why. A task for which there was no time,
        or no place in the queue, has an empty entry.
        """
        try:
            labels = self._labels(label_config)
        except InvalidRequest as error:
            logger.warning("label studio: no task is predicted: %s", error.detail)
            return [regions.failed(error, self.version) for _ in tasks]
        drawn = drawn_regions(params)
        jobs = [asyncio.create_task(self._entry(task, labels, drawn)) for task in tasks]
        try:
            _, pending = await asyncio.wait(jobs, timeout=self._predict_s) if jobs else ((), ())
            if pending:
                logger.warning("label studio: no time for %d of %d tasks: retrieve them again", len(pending), len(jobs))
            return [NO_PREDICTION if job in pending else job.result() for job in jobs]
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)

    async def _entry(
        self, task: Mapping[str, Any], labels: ProjectLabels, drawn: list[dict[str, Any]]
    ) -> Entry | list[Entry]:
        try:
            async with self._clicks if drawn else self._tasks:
                return await (self._clicked(task, labels, drawn) if drawn else self._detected(task, labels))
        except ServiceError as error:
            _log(task, error)
            return NO_PREDICTION if isinstance(error, CapacityError) else regions.failed(error, self.version)
        except Exception as error:
            # The other tasks of the request are not lost with this one.
            logger.exception("label studio: task %s failed", task.get("id"))
            return regions.failed(InternalError(str(error)), self.version)

    async def _detected(self, task: Mapping[str, Any], labels: ProjectLabels) -> Entry:
        image = await self._image(task, labels)
        tags = tags_of_task(task, labels)
        mask_format = "rle" if labels.config.needs_masks else "none"
        request = our_request(JsonDetectRequest, image, {}, tags=tags, unknown_tags="skip", mask_format=mask_format)
        result = await self._when_free(request)
        losses = [row for row in result.tags if row.status != "found" or not labels.allowed(row.label or "")]
        if losses:
            fields = {"task": task.get("id"), "tags": [row.model_dump(exclude_none=True) for row in losses]}
            logger.info("label studio: tags without regions", extra={FIELDS: fields})
        return await asyncio.to_thread(regions.detected, result, labels)

    async def _clicked(self, task: Mapping[str, Any], labels: ProjectLabels, drawn: list[dict[str, Any]]) -> Entry:
        label, control = label_and_control(drawn, labels)
        prompt = prompt_fields(drawn)
        image = await self._image(task, labels)
        result = await self._handler.segment(our_request(JsonSegmentRequest, image, {}, **prompt))
        return await asyncio.to_thread(regions.clicked, result, label, control)

    async def _image(self, task: Mapping[str, Any], labels: ProjectLabels) -> bytes:
        return await self._fetcher.fetch(image_url(task, labels.config.image_field, self._base_url))

    async def _when_free(self, request: JsonDetectRequest) -> DetectResult:
        while True:
            try:
                return await self._handler.detect(request)
            except Busy as error:
                # Bounded by the time of the whole call.
                await asyncio.sleep(error.retry_after_s or 1)

    def _labels(self, label_config: object) -> ProjectLabels:
        return ProjectLabels(self._handler.pipeline.bundle.labels, parse_label_config(label_config))


def _log(task: Mapping[str, Any], error: ServiceError) -> None:
    level = logging.ERROR if isinstance(error, InternalError) else logging.WARNING
    fields = {"task": task.get("id"), "code": error.code, "reason": error.detail}
    logger.log(
        level, "label studio: task without a prediction", extra={FIELDS: fields}, exc_info=level == logging.ERROR
    )
