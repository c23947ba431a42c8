"""What the writer of a Triton repository and the gateway that calls it must agree on.

A graph of the bundle is a Triton model of the same name, and the bundle's sequence number is the model's version. The
digest of the bundle is a parameter of each model, one for each version, since Triton keeps one configuration for all
versions of a model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from models.bundle import Bundle, BundleError, GraphSpec, TensorSpec

# Triton's names of element types, by numpy's.
TRITON_TYPES: Mapping[str, str] = {
    "bool": "BOOL",
    "float16": "FP16",
    "float32": "FP32",
    "int32": "INT32",
    "int64": "INT64",
    "uint8": "UINT8",
}
BATCH_AXIS = "B"
MAX_VERSION = 2**63 - 1
PART_LIMIT = 1000


def sequence_number(bundle: Bundle) -> int:
    """Return the bundle's version as Triton wants it, a positive whole number that rises.

    A whole number is itself; ``a.b`` and ``a.b.c`` are ``a * 1000000 + b * 1000 + c``.

    Raises:
        BundleError: the version has another form.
    """
    if re.fullmatch(r"[0-9]+(\.[0-9]+){0,2}", bundle.version):
        first, *rest = map(int, bundle.version.split("."))
        number = first if not rest else (first * PART_LIMIT + rest[0]) * PART_LIMIT + sum(rest[1:])
        if 0 < number <= MAX_VERSION and max(rest, default=0) < PART_LIMIT:
            return number
    raise BundleError(
        f"version of the bundle is {bundle.version!r}: for Triton it must be a whole number from 1, as 7, or two or "
        f"three of them, as 1.4.2, the later ones below {PART_LIMIT}"
    )


def digest_parameter(version: int) -> str:
    """Return the name of the model parameter that holds the digest of the bundle behind a version."""
    return f"bundle_digest_{version}"


def has_batch_axis(graph: GraphSpec) -> bool:
    """Whether the first axis of every input and output is the batch, so that Triton may join requests along it."""
    return all(tensor.shape[:1] == (BATCH_AXIS,) for tensor in (*graph.inputs, *graph.outputs))


def triton_dims(tensor: TensorSpec, *, batched: bool) -> list[int]:
    """Return the sizes of the axes as a configuration states them: -1 is dynamic, the batch axis is left out."""
    return [size if isinstance(size, int) else -1 for size in tensor.shape[int(batched) :]]
