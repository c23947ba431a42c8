"""Ranges of numbers in settings. `models.config` checks them as it checks types, before anything runs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

WholeFrom0 = Annotated[int, Field(ge=0)]
WholeFrom1 = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what numpy and Lightning Fabric take
Share = Annotated[float, Field(ge=0, le=1)]
ShareBelow1 = Annotated[float, Field(ge=0, lt=1)]
From0 = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Above0 = Annotated[float, Field(gt=0, allow_inf_nan=False)]
