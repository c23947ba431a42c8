"""What tests of the service are made of: settings and pipelines on the tiny bundle, and a backend to watch."""

from __future__ import annotations

import asyncio
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.bundle import Bundle
from models.image import DecodedImage, pixels_sha256
from service.backends.base import Array, Backend, Tensors
from service.backends.ort import OrtBackend
from service.inference.open_pipeline import create_pipeline
from service.inference.pipeline import Pipeline
from service.settings import Settings, load_settings
from tests.support.bundles.tiny_bundle import picture
from tests.support.fakes.fake_backend import FakeBackend
from weaksam.arrays import Mask
from weaksam.formats.run_lengths import decode_rle
from weaksam.mask_schemas import RleMask
from weaksam.schemas import Detection, DetectOptions, DetectResult

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
DIM_RED = (102, 0, 0)  # 0.4: the classifier sees it, the mask decoder does not
PALE_RED = (153, 0, 0)  # 0.6: the mask decoder draws it, its score is too low
PATIENCE_S = 120.0
TWO_BOLTS_AND_A_NUT = picture(((8, 8, 24, 24), RED), ((40, 40, 56, 52), RED), ((40, 8, 52, 20), GREEN))


def tiny_settings(folder: Path, **changes: Any) -> Settings:
    return load_settings(**{"bundle": folder, "intra_op_threads": 1, **changes})


def tiny_pipeline(folder: Path, backend: Backend | None = None, **changes: Any) -> Pipeline:
    return create_pipeline(tiny_settings(folder, **changes), backend)


def decoded(image_hwc_u8: npt.NDArray[np.uint8]) -> DecodedImage:
    return DecodedImage(image_hwc_u8, "PNG", pixels_sha256(image_hwc_u8))


def detect_once(
    folder: Path, image_hwc_u8: npt.NDArray[np.uint8], tags: Iterable[str] = (), **options: Any
) -> DetectResult:
    """One call of a pipeline without a memory, from a test that is not asynchronous."""
    pipeline = _pipeline_without_memory(folder)
    return asyncio.run(pipeline.detect(decoded(image_hwc_u8), tags, DetectOptions(**options)))


def mask_of(detection: Detection) -> Mask:
    assert isinstance(detection.mask, RleMask)
    return decode_rle(detection.mask.rle())


@functools.cache
def _pipeline_without_memory(folder: Path) -> Pipeline:
    # Shared, since opening four sessions takes longer than most tests; nothing of one call is left for the next.
    return tiny_pipeline(folder, cache_bytes=0)


class WatchedBackend(FakeBackend):
    """onnxruntime behind a gate that can be shut, counting what passes; it may be told to fail.

    The gate can be worked from another thread than the event loop's.

    Attributes:
        runs: what has passed, by graph.
        held: how many runs wait at the gate.
        failing: whether every run raises `error`.
    """

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(self._pass)
        self.inner = OrtBackend(bundle, intra_op_threads=1)
        self.runs: Counter[str] = Counter()
        self.held = 0
        self.failing = False
        self.error: Exception = RuntimeError("of the test")
        self._open = True

    def shut(self) -> None:
        self._open = False

    def release(self) -> None:
        self._open = True

    async def _pass(self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Tensors:
        self.held += 1
        try:
            await until(lambda: self._open)
        finally:
            self.held -= 1
        if self.failing:
            raise self.error
        self.runs[model] += 1
        return await self.inner.infer(model, inputs, outputs)

    async def aclose(self) -> None:
        await super().aclose()
        await self.inner.aclose()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another thread, or a server, brings about."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - what it waits for knows nothing of this loop
            await asyncio.sleep(0.002)


def metric(pipeline: Pipeline, name: str, **labels: str) -> float:
    """The present value of one metric; 0 where it was never touched."""
    return pipeline.metrics.registry.get_sample_value(name, labels) or 0.0
