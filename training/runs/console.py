"""The console of trainings. Messages and progress bars share it, so that a message appears above a standing bar."""

from __future__ import annotations

from rich.console import Console

console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
