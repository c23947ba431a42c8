"""The methods of the weakly supervised detector, and how many branches each has; without torch."""

from __future__ import annotations

from typing import Literal

Method = Literal["wsddn", "oicr", "mist"]
REFINEMENTS: dict[Method, int] = {"wsddn": 0, "oicr": 3, "mist": 3}
REGRESSORS: dict[Method, int] = {"wsddn": 0, "oicr": 1, "mist": 3}
