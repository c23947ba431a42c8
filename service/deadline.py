"""The deadline of the present request; a backend passes it on to its server."""

from __future__ import annotations

import asyncio
import math
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass
class Deadline:
    """A time of the running loop's clock. If several requests share a computation, it is that of the last one."""

    at_s: float


DEADLINE: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


def seconds_left() -> float:
    """Return the time until the present request's deadline; infinite if there is none."""
    current = DEADLINE.get()
    return math.inf if current is None else current.at_s - asyncio.get_running_loop().time()
