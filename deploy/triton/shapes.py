"""The sizes that dynamic axes take in requests of the gateway: what to warm a model up with, and to build it for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product

from models.bundle import DECODERS, Bundle, TensorSpec
from models.triton import BATCH_AXIS
from weaksam.errors import UserError

Sizes = Mapping[str, int]
# A lone point is padded to two rows, a box is its two corners; only a tag's group of peaks has more.
USUAL_POINTS = 2


def axis_sizes(bundle: Bundle, graph: str, max_batch: int) -> dict[str, tuple[int, ...]]:
    """Return the sizes of each dynamic axis of a graph by its letter, rising.

    Raises:
        UserError: naming an axis that is not known.
    """
    prompts = bundle.prompts
    proposals = range(prompts.proposal_bucket, prompts.max_proposals + prompts.proposal_bucket, prompts.proposal_bucket)
    side = (bundle.graphs[graph].side_px,)
    known: dict[str, Iterable[int]] = {
        BATCH_AXIS: (1, max_batch),
        "P": prompts.buckets_of("triton") if graph in DECODERS else proposals,
        "N": (USUAL_POINTS, prompts.peak_max_count),
        "H": side,
        "W": side,
    }
    letters = dict.fromkeys(
        size for tensor in bundle.graphs[graph].inputs for size in tensor.shape if isinstance(size, str)
    )
    unknown = [letter for letter in letters if letter not in known]
    if unknown:
        raise UserError(f"graph {graph} has the dynamic axis {unknown[0]!r}, known are {', '.join(known)}")
    return {letter: tuple(sorted(set(known[letter]))) for letter in letters}


def warm_up_sizes(sizes: Mapping[str, Sequence[int]]) -> list[dict[str, int]]:
    """Return every combination of the sizes, so that TensorRT in onnxruntime has seen both ends of each axis."""
    return [dict(zip(sizes, chosen, strict=True)) for chosen in product(*sizes.values())]


def engine_profiles(sizes: Mapping[str, Sequence[int]], graph: str) -> list[tuple[Sizes, Sizes, Sizes]]:
    """Return minimum, usual and maximum sizes of each profile: one for each bucket of a decoder, else one."""
    if graph in DECODERS:
        return [_profile({**sizes, "P": (bucket,)}) for bucket in sizes["P"]]
    return [_profile(sizes)]


def concrete_shape(tensor: TensorSpec, sizes: Sizes) -> tuple[int, ...]:
    """Return the shape of a tensor with its letters filled in."""
    return tuple(size if isinstance(size, int) else sizes[size] for size in tensor.shape)


def _profile(sizes: Mapping[str, Sequence[int]]) -> tuple[Sizes, Sizes, Sizes]:
    minimum = {letter: found[0] for letter, found in sizes.items()}
    maximum = {letter: found[-1] for letter, found in sizes.items()}
    return minimum, maximum | {letter: minimum[letter] for letter in ("N",) if letter in minimum}, maximum
