"""The life cycle of a running service: warm-up, readiness, reload, and draining before it stops."""

from __future__ import annotations

import asyncio
import logging

from service.auth.api_keys import KeyRing
from service.errors import CapacityError, NotReady, ReloadFailed, ServiceError
from service.observability.logs import FIELDS, LOGGER_NAME
from service.observability.metrics import Metrics
from service.runtime.active_bundle import ActiveBundle, ReloadOutcome
from weaksam.schemas import ReloadResponse

WARM_UP_AGAIN_S = 1.0
WARM_UP_FAILED = "its warm-up inference failed, see the log"

logger = logging.getLogger(LOGGER_NAME)


class Lifecycle:
    """The state of the whole service.

    Args:
        active: the bundle that requests run on.
        keys: reloaded with the bundle; None if the service has no keys.

    Attributes:
        draining: whether the service is about to stop; it still responds, but wants no new connections.
    """

    def __init__(self, active: ActiveBundle, keys: KeyRing | None, metrics: Metrics) -> None:
        self.keys = keys
        self.draining = False
        self._active = active
        self._metrics = metrics
        metrics.bundle(active.pipeline.info)

    def drain(self) -> None:
        """Let /readyz and every response say that connections should go elsewhere."""
        self.draining = True
        logger.info("draining: /readyz returns 503 from now on")

    async def warm_up(self) -> None:
        """Run every graph once, as soon as the backend can. `check_ready` passes only after that."""
        while not self._active.warm:
            pipeline = self._active.pipeline
            try:
                await self._active.warm_up()
            except CapacityError as error:
                logger.warning("the warm-up inference waits: %s", error)
                await asyncio.sleep(WARM_UP_AGAIN_S)
            except Exception:
                if self._active.pipeline is pipeline:
                    logger.exception("the warm-up inference failed: the service stays not ready")
                    return
                # A reload has replaced it meanwhile, and has warmed up the new bundle.
                logger.warning("the warm-up inference of the replaced bundle failed", exc_info=True)
        logger.info("ready")

    async def check_ready(self) -> None:
        """Raise NotReady before the warm-up has passed, while the backend is not ready, and if the service stops."""
        if self.draining:
            raise NotReady("the service is stopping: send requests to another one", retry_after_s=1)
        if not self._active.warm:
            raise NotReady("the warm-up inference has not passed: wait, or see the log", retry_after_s=1)
        if not await self._active.pipeline.backend.ready():
            raise NotReady("the inference backend is not ready: wait, or see the log", retry_after_s=1)

    async def reload(self) -> ReloadResponse:
        """Read the configured keys file and bundle again. What cannot be read stays as it was.

        Raises:
            ReloadFailed: keys or bundle cannot be read; it says why. The other one is reloaded all the same.
        """
        logger.info("reloading")
        failures = []
        try:
            self._reload_keys()
        except ValueError as error:
            failures.append(f"the keys stay as they were: {error}")
        try:
            outcome = await self._reload_bundle()
        except Exception as error:
            logger.exception("the bundle could not be reloaded: the old one stays")
            reason = str(error) if isinstance(error, ValueError | ServiceError) else WARM_UP_FAILED
            failures.append(f"the bundle stays as it was: {reason}")
        if failures:
            self._metrics.reload("failed")
            raise ReloadFailed("; ".join(failures))
        self._metrics.reload(outcome)
        info = self._active.pipeline.info
        logger.info("reloaded", extra={FIELDS: {"outcome": outcome, "bundle": info.name, "digest": info.digest}})
        return ReloadResponse(outcome=outcome, bundle=info, keys=None if self.keys is None else len(self.keys))

    async def reload_on_signal(self) -> None:
        """Reload on a signal. Nobody waits for a response, so the outcome goes to the log and the metrics."""
        try:
            await self.reload()
        except ReloadFailed as error:
            logger.error(error.detail)

    def _reload_keys(self) -> None:
        if self.keys is not None:
            self.keys.reload()

    async def _reload_bundle(self) -> ReloadOutcome:
        outcome = await self._active.reload()
        self._metrics.bundle(self._active.pipeline.info)
        return outcome
