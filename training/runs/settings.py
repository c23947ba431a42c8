"""What the settings of all trainings share. Settings import no torch, so that a mistake in them is reported at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from weaksam.errors import UserError

Precision = Literal["32-true", "bf16-mixed"]


def check_loss_weights(weights: Mapping[str, float], terms: Sequence[str]) -> None:
    """Look for weights of terms that the training does not have.

    Raises:
        UserError: there is one; the message names the terms that there are.
    """
    unknown = sorted(weights.keys() - set(terms))
    if unknown:
        raise UserError(f"loss_weights: there is no term {unknown[0]!r}, the terms are {', '.join(terms)}")
