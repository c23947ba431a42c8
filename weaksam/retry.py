"""How often and how soon a request is sent again."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from weaksam.errors import UserError


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how soon a request is sent again.

    Attributes:
        attempts: how many times one request is sent at most.
        first_wait_s: longest wait after the first failure; it doubles with each further one.
        max_wait_s: no wait is longer, whatever Retry-After says.

    Raises:
        UserError: there would be no attempt.
    """

    attempts: int = 6
    first_wait_s: float = 0.5
    max_wait_s: float = 60.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise UserError(f"attempts: is {self.attempts}, take 1 or more")

    def wait_s(self, attempt: int, retry_after_s: float | None) -> float:
        """Return the seconds to wait after attempt number `attempt`, counted from 1, has failed."""
        # Jitter, so that clients that failed together do not come back together. The wait may exceed Retry-After:
        # a service may say one second for minutes, and that must not use up all attempts.
        doubled_s = self.first_wait_s * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)
        asked_s = (retry_after_s or 0.0) * random.uniform(1.0, 1.5)
        return float(min(max(doubled_s, asked_s), self.max_wait_s))


# Of batches, which can wait: a server that restarts or is busy with others costs time, not results.
PATIENT = RetryPolicy(attempts=10)


def retry_after_s(outcome: httpx.Response | httpx.RequestError) -> float | None:
    """Return the seconds of the Retry-After header, a number or a date; None if it is absent or neither."""
    text = outcome.headers.get("retry-after") if isinstance(outcome, httpx.Response) else None
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
