"""When a request must be answered, known to whatever works for it: a backend passes it on to its server."""

from __future__ import annotations

import asyncio
import math
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass
class Deadline:
    """A time of the running loop's clock; one that several requests share moves with the last of them."""

    at_s: float


DEADLINE: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


def seconds_left() -> float:
    """Time until the deadline of the request that the caller works for; infinite where there is none."""
    current = DEADLINE.get()
    return math.inf if current is None else current.at_s - asyncio.get_running_loop().time()
