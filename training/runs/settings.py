"""What the settings of all trainings share. Settings import no torch, so that a mistake in them is told at once."""

from __future__ import annotations

from typing import Literal

Precision = Literal["32-true", "bf16-mixed"]
