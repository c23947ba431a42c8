"""The seam between the pipeline and whatever runs the graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy.typing as npt

Array = npt.NDArray[Any]
Tensors = dict[str, Array]


class Backend(Protocol):
    """Runs the graphs of one bundle.

    Attributes:
        kind: the name under which the bundle keeps the sizes of runs that this backend likes.
    """

    kind: str

    async def infer(self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Tensors:
        """Run a graph once and return the outputs asked for, by name, and no other.

        Raises:
            BackendFailure: the graph cannot be run on these inputs.
            BackendUnavailable: it cannot be run now.
        """
        ...

    async def ready(self) -> bool:
        """Whether `infer` can be expected to answer."""
        ...

    async def aclose(self) -> None:
        """Finish what is running and give back threads, memory and connections; no error if closed already."""
        ...
