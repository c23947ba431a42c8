"""What an operator does to a running service: have it drained before it stops, or reload its keys and its bundle."""

from __future__ import annotations

import asyncio
import logging

from service.auth.api_keys import KeyRing
from service.errors import CapacityError, NotReady, ReloadFailed, ServiceError
from service.observability.logs import FIELDS, LOGGER_NAME
from service.observability.metrics import Metrics
from service.runtime.active_bundle import ReloadOutcome, Served
from weaksam.schemas import ReloadAnswer

WARM_UP_AGAIN_S = 1.0
WARM_UP_FAILED = "its warm-up inference failed, see the log"

logger = logging.getLogger(LOGGER_NAME)


class Operations:
    """The state of the whole service.

    Args:
        served: whose bundle is reloaded.
        keys: reloaded with it; None where the service has none.

    Attributes:
        draining: whether the service is about to stop; it still answers, but asks for no more.
    """

    def __init__(self, served: Served, keys: KeyRing | None, metrics: Metrics) -> None:
        self.keys = keys
        self.draining = False
        self._served = served
        self._metrics = metrics
        metrics.bundle(served.pipeline.info)

    def drain(self) -> None:
        """Let /readyz and every answer say that connections should go elsewhere."""
        self.draining = True
        logger.info("draining: /readyz says 503 from now on")

    async def warm_up(self) -> None:
        """Run every graph once, as soon as the backend can; `check_ready` passes only after that."""
        while not self._served.warm:
            try:
                await self._served.warm_up()
            except CapacityError as error:
                logger.warning("the warm-up inference waits: %s", error)
                await asyncio.sleep(WARM_UP_AGAIN_S)
            except Exception:
                logger.exception("the warm-up inference failed: the service stays not ready")
                return
        logger.info("ready")

    async def check_ready(self) -> None:
        """Raises NotReady until a warm-up has passed, while the backend is not ready, and when the service stops."""
        if self.draining:
            raise NotReady("the service is stopping: ask another one", retry_after_s=1)
        if not self._served.warm:
            raise NotReady("the warm-up inference has not passed: wait, or see the log", retry_after_s=1)
        if not await self._served.pipeline.backend.ready():
            raise NotReady("the inference backend is not ready: wait, or see the log", retry_after_s=1)

    async def reload(self) -> ReloadAnswer:
        """Read the keys file and the bundle again from where they are configured; what is damaged stays as it was.

        Raises:
            ReloadFailed: naming what is wrong with either; the other one is reloaded all the same.
        """
        wrong = []
        try:
            self._reload_keys()
        except ValueError as error:
            wrong.append(f"the keys stay as they were: {error}")
        try:
            outcome = await self._reload_bundle()
        except Exception as error:
            logger.exception("the bundle could not be reloaded: the old one stays")
            reason = str(error) if isinstance(error, ValueError | ServiceError) else WARM_UP_FAILED
            wrong.append(f"the bundle stays as it was: {reason}")
        if wrong:
            self._metrics.reload("failed")
            raise ReloadFailed("; ".join(wrong))
        self._metrics.reload(outcome)
        info = self._served.pipeline.info
        logger.info("reloaded", extra={FIELDS: {"outcome": outcome, "bundle": info.name, "digest": info.digest}})
        return ReloadAnswer(outcome=outcome, bundle=info, keys=None if self.keys is None else len(self.keys))

    async def reload_on_signal(self) -> None:
        """`reload` for a signal, which takes no answer: the log and the metrics have it."""
        try:
            await self.reload()
        except ReloadFailed as error:
            logger.error(error.detail)

    def _reload_keys(self) -> None:
        if self.keys is not None:
            self.keys.reload()

    async def _reload_bundle(self) -> ReloadOutcome:
        outcome = await self._served.reload()
        self._metrics.bundle(self._served.pipeline.info)
        return outcome
