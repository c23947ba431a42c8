"""One way to open any published segmenter: the tensors of a checkpoint say which network they are of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.nets.checkpoint_files import CheckpointError, read_checkpoint, state_of
from models.nets.published_sam import mobile_sam, sam2
from models.nets.published_sam.mobile_sam import MobileSam, is_mobile_sam, load_mobile_sam
from models.nets.published_sam.sam2 import TRUNKS, Sam2, load_sam2, sam2_kind
from models.nets.published_sam.vit import OFFICIAL_SIZES, OfficialSam, load_official_sam

MOBILE_SAM = "mobilesam"
PublishedNet = OfficialSam | Sam2 | MobileSam


@dataclass(frozen=True)
class PublishedSam:
    """A checkpoint as published.

    Attributes:
        path: of the file.
        kind: ``vit_b``, ``vit_l``, ``vit_h`` or a description of another such ViT, ``mobilesam``, or a key of
            `models.nets.published_sam.sam2.TRUNKS`.
        net: the network with the file's weights, in evaluation mode.
    """

    path: Path
    kind: str
    net: PublishedNet


def open_published(path: Path, side_px: int | None = None) -> PublishedSam:
    """Open a checkpoint as published.

    Args:
        path: of the file.
        side_px: side of the input in place of the published one, for networks whose weights do not depend on it.

    Raises:
        CheckpointError: the file is no checkpoint of a known network, or the side does not suit it.
    """
    state = state_of(read_checkpoint(path))
    if kind := sam2_kind(state):
        return PublishedSam(path, kind, load_sam2(state, kind, path, side_px or sam2.SIDE_PX))
    if is_mobile_sam(state):
        return PublishedSam(path, MOBILE_SAM, load_mobile_sam(state, path, side_px or mobile_sam.SIDE_PX))
    net, sizes = load_official_sam(state, path)
    if side_px not in (None, sizes.side_px):
        raise CheckpointError(f"side_px: is {side_px}, {path} is made for {sizes.side_px}: leave it out")
    return PublishedSam(path, sizes.name, net)


def untrained(kind: str, side_px: int | None = None) -> PublishedNet:
    """Return a network of a kind with random weights, which take the same time as the published ones.

    Args:
        kind: as `PublishedSam` has it.
        side_px: as in `open_published`.

    Raises:
        CheckpointError: the side does not suit the network.
    """
    if kind in TRUNKS:
        return Sam2(kind, side_px or sam2.SIDE_PX).eval()
    if kind == MOBILE_SAM:
        return MobileSam(side_px or mobile_sam.SIDE_PX).eval()
    sizes = OFFICIAL_SIZES[kind]
    if side_px not in (None, sizes.side_px):
        raise CheckpointError(f"side_px: is {side_px}, {kind} is made for {sizes.side_px}: leave it out")
    return OfficialSam(sizes).eval()
