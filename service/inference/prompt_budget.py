"""How many prompts fit into the time that a bundle allows, measured on the machine that serves it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from models.prompting.prompts import PromptBatch, grid_points, point_prompts
from models.settings import PromptSettings

MEASURED_SIDE = 4  # points per side: 16 prompts, enough for several runs at once


class PromptBudget:
    """Turns `PromptSettings.budget_ms` into a number of prompts, on the first image: that of the warm-up."""

    def __init__(self, settings: PromptSettings) -> None:
        self._settings = settings
        self._limited: PromptSettings | None = None if settings.budget_ms else settings

    async def limited(
        self, decode: Callable[[PromptBatch], Awaitable[object]], valid_hw: tuple[int, int]
    ) -> PromptSettings:
        """Return the settings with a `max_prompts` that fits into the time; at least one prompt is asked.

        Args:
            decode: asks the decoder about a batch of prompts on the image.
            valid_hw: part of the segmenter's input that holds the image, in pixels.
        """
        if self._limited is None:
            batch = point_prompts(grid_points(MEASURED_SIDE, valid_hw))
            await decode(batch)  # the first runs also allocate
            started_s = time.perf_counter()
            await decode(batch)
            per_prompt_ms = (time.perf_counter() - started_s) * 1000 / len(batch)
            affordable = max(1, int(self._settings.budget_ms / per_prompt_ms))
            self._limited = replace(self._settings, max_prompts=min(self._settings.max_prompts, affordable))
        return self._limited
