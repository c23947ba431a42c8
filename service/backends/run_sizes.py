"""Sizes of runs that a bundle lists for each kind of backend."""

from __future__ import annotations

from models.bundle import Bundle
from service.errors import BackendMismatch


def run_sizes(bundle: Bundle, kind: str) -> tuple[int, ...]:
    """Return the sizes that runs of `sam_decoder` are padded to.

    Raises:
        BackendMismatch: the bundle names none for this kind of backend.
    """
    try:
        return bundle.prompts.buckets_of(kind)
    except ValueError as error:
        raise BackendMismatch(str(error)) from error
