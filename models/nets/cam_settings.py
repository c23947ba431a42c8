"""Which network a classifier is, and the settings of WeakTr; without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from models.ranges import From0, WholeFrom0, WholeFrom1

Architecture = Literal["cnn", "weaktr"]


@dataclass(frozen=True)
class WeakTrSettings:
    """Settings of `WeakTr` beside its backbone; the defaults are the paper's, for a ViT of 12 blocks.

    Attributes:
        fusion_reduction: how many times narrower than the number of heads the fusion's hidden layer is.
        cross_blocks: blocks, counted from 0, whose heads' class-to-patch attention become maps of their own; the
            paper's ninth and tenth.
        inverse_temperature: of the pooling of coarse and fine maps, as in `smooth_max`; 0 averages.
    """

    fusion_reduction: WholeFrom1 = 4
    cross_blocks: tuple[WholeFrom0, ...] = (8, 9)
    inverse_temperature: From0 = 0.0
