"""The protocol between the pipeline and whatever runs the graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy.typing as npt

Array = npt.NDArray[Any]
Tensors = dict[str, Array]


class Backend(Protocol):
    """Runs the graphs of one bundle.

    Attributes:
        kind: the bundle lists run sizes for each kind of backend under this name.
    """

    kind: str

    async def infer(self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Tensors:
        """Run a graph once and return the named outputs, and no other.

        Raises:
            BackendFailure: the graph cannot be run on these inputs.
            BackendUnavailable: it cannot be run now.
        """
        ...

    async def ready(self) -> bool:
        """Return whether `infer` can be expected to work."""
        ...

    async def aclose(self) -> None:
        """Finish what is running and release threads, memory and connections; do nothing if closed already."""
        ...
