"""How many prompts a request may ask: those that its tags need, and those that fit into the bundle's time."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from models.bundle import DETECTOR, PROMPT_MAP, Bundle
from models.prompting.prompts import PromptBatch, grid_points, point_prompts
from models.settings import PromptSettings
from service.inference.stage_results import Classes

MEASURED_SIDE = 4  # points per side: 16 prompts, enough for several runs at once
MEASURED_RUNS = 3  # other work can only slow a run down, so the fastest says most


def prompt_limit(bundle: Bundle, classes: Classes, *, full: bool) -> int:
    """Return how many prompts may be asked for some classes.

    If the detector missed them, the maps of the classes and the highest places of the prompt map say enough. A grid is
    asked whole: its points lie everywhere, and each left out leaves a gap.

    Args:
        bundle: what is served.
        classes: that need proposals.
        full: all classes of the request do, whatever the detector found.
    """
    prompts = bundle.prompts
    has_map = PROMPT_MAP in bundle.encoder_outputs and prompts.map_max_count > 0
    if full or DETECTOR not in bundle.graphs or not has_map or not prompts.missed_tag_prompts:
        return prompts.max_prompts
    return min(prompts.max_prompts, prompts.missed_tag_prompts * len(classes))


class PromptBudget:
    """Turns `PromptSettings.budget_ms` into a number of prompts, on the first image: that of the warm-up."""

    def __init__(self, settings: PromptSettings) -> None:
        self._settings = settings
        self._limited: PromptSettings | None = None if settings.budget_ms else settings
        self._measuring = asyncio.Lock()

    async def limited(
        self, decode: Callable[[PromptBatch], Awaitable[object]], valid_hw: tuple[int, int]
    ) -> PromptSettings:
        """Return the settings with a `max_prompts` that fits into the time, at least 1.

        Args:
            decode: decodes a batch of prompts on the image.
            valid_hw: part of the segmenter's input that holds the image, in pixels.
        """
        # One at a time: requests that measured at once would slow each other down.
        async with self._measuring:
            if self._limited is None:
                per_prompt_ms = await _per_prompt_ms(decode, valid_hw)
                affordable = max(1, int(self._settings.budget_ms / per_prompt_ms))
                self._limited = replace(self._settings, max_prompts=min(self._settings.max_prompts, affordable))
        return self._limited


async def _per_prompt_ms(decode: Callable[[PromptBatch], Awaitable[object]], valid_hw: tuple[int, int]) -> float:
    batch = point_prompts(grid_points(MEASURED_SIDE, valid_hw))
    await decode(batch)  # the first runs also allocate
    fastest_s = math.inf
    for _ in range(MEASURED_RUNS):
        started_s = time.perf_counter()
        await decode(batch)
        fastest_s = min(fastest_s, time.perf_counter() - started_s)
    return fastest_s * 1000 / len(batch)
