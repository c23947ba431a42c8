"""The time of a prompt, measured by a clock that the test sets."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from models.prompting.prompts import PromptBatch
from models.settings import PromptSettings
from service.inference.prompt_budget import MEASURED_RUNS, PromptBudget

VALID_HW = (64, 64)


class Decoder:
    """Takes so many milliseconds a prompt, run by run; the last figure holds on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *per_prompt_ms: float) -> None:
        self.runs = 0
        self._per_prompt_ms = per_prompt_ms
        self._now_s = 0.0
        clock = SimpleNamespace(perf_counter=lambda: self._now_s)
        monkeypatch.setattr("service.inference.prompt_budget.time", clock)

    async def __call__(self, batch: PromptBatch) -> None:
        per_prompt_ms = self._per_prompt_ms[min(self.runs, len(self._per_prompt_ms) - 1)]
        self.runs += 1
        await asyncio.sleep(0)
        self._now_s += per_prompt_ms * len(batch) / 1000


async def test_a_moment_of_other_work_does_not_last(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = Decoder(monkeypatch, 500.0, 50.0, 2.0, 30.0)
    settings = await PromptBudget(PromptSettings(budget_ms=101)).limited(decoder, VALID_HW)
    assert settings.max_prompts == 50


async def test_requests_at_once_measure_once(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, budget = Decoder(monkeypatch, 1.0), PromptBudget(PromptSettings(budget_ms=100.5))
    limited = await asyncio.gather(*(budget.limited(decoder, VALID_HW) for _ in range(3)))
    assert [settings.max_prompts for settings in limited] == [100] * 3
    assert decoder.runs == 1 + MEASURED_RUNS


async def test_without_a_budget_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, settings = Decoder(monkeypatch, 1.0), PromptSettings()
    assert await PromptBudget(settings).limited(decoder, VALID_HW) == settings
    assert decoder.runs == 0
