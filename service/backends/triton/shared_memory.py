"""System shared memory that hands inputs to a Triton on the same host, instead of the network.

Only inputs go through it. A server may still read an input after the caller has given up, which does no harm. It may
also still write an output, and would then overwrite memory that another call uses by now.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.shared_memory import SharedMemory

import numpy as np

from service.backends.base import Array

ALIGNMENT = 64


class InputMemory:
    """One region of shared memory, lent in pieces.

    Args:
        size: bytes of the region.

    Attributes:
        name: under which the region is registered with Triton.
        key: under which Triton opens it.
        size: bytes of the region.
    """

    def __init__(self, size: int) -> None:
        self.name = f"weaksam-{uuid.uuid4().hex}"
        self.key = f"/{self.name}"
        self.size = size
        self._memory = SharedMemory(self.name, create=True, size=size)
        # Start and end of each free piece, in order; neighbours are joined.
        self._free = [(0, size)]
        self._closed = False

    @contextmanager
    def lent(self, array: Array) -> Iterator[int | None]:
        """Copy an array into the region until the block ends; yield its offset, or None if there is no room."""
        needed = -(-array.nbytes // ALIGNMENT) * ALIGNMENT
        start = self._take(needed)
        if start is None:
            yield None
            return
        try:
            np.ndarray(array.shape, array.dtype, self._memory.buf, start)[...] = array
            yield start
        finally:
            self._give_back(start, start + needed)

    def close(self) -> None:
        """Remove the region; do nothing if closed already."""
        if not self._closed:
            self._closed = True
            self._memory.close()
            self._memory.unlink()

    def _take(self, needed: int) -> int | None:
        for index, (start, end) in enumerate(self._free):
            if needed and end - start >= needed:
                self._free[index : index + 1] = [(start + needed, end)] if end - start > needed else []
                return start
        return None

    def _give_back(self, start: int, end: int) -> None:
        joined: list[tuple[int, int]] = []
        for piece in sorted([*self._free, (start, end)]):
            if joined and joined[-1][1] == piece[0]:
                joined[-1] = joined[-1][0], piece[1]
            else:
                joined.append(piece)
        self._free = joined
