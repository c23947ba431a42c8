"""Which network a detector is, and its sizes: training, report and export build it from the same settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from models.nets.detectors.rcnn_parts import RcnnSettings
from weaksam.errors import UserError

Architecture = Literal["faster_rcnn", "mask_rcnn", "dfine", "mask2former"]


@dataclass(frozen=True)
class DFineSettings:
    """Size of a D-FINE.

    Attributes:
        queries: selected positions, and so the maximum of boxes of an image.
        channels: of the encoder and the decoder; a multiple of ``heads``.
        hidden: width of the feed-forward layers.
        heads: of the attention.
        decoder_layers: each refines the boxes of the one before.
        depth: share of the published blocks of the encoder's pyramid, from which round(3 * depth) are taken.
        denoising: maximum of noised boxes that an image is to denoise in training; 0 trains without them.
    """

    queries: int = 100
    channels: int = 128
    hidden: int = 512
    heads: int = 8
    decoder_layers: int = 3
    depth: float = 0.34
    denoising: int = 100

    def __post_init__(self) -> None:
        if self.channels % self.heads:
            raise UserError(f"channels: must be a multiple of the {self.heads} heads, got {self.channels}")


@dataclass(frozen=True)
class Mask2FormerSettings:
    """Size of a Mask2Former.

    Attributes:
        queries: the maximum of masks of an image.
        channels: of the pixel decoder, the queries and the masks; a multiple of 32 and of ``heads``.
        hidden: width of the feed-forward layers.
        heads: of the attention.
        encoder_layers: of the pixel decoder.
        decoder_layers: of the queries.
        points: of each mask, at which it is compared with its object.
    """

    queries: int = 50
    channels: int = 128
    hidden: int = 512
    heads: int = 8
    encoder_layers: int = 2
    decoder_layers: int = 3
    points: int = 4096

    def __post_init__(self) -> None:
        if self.channels % 32 or self.channels % self.heads:
            raise UserError(f"channels: must be a multiple of 32 and of the {self.heads} heads, got {self.channels}")


@dataclass(frozen=True, kw_only=True)
class DetectorSettings:
    """Architecture and sizes of a detector or an instance segmenter.

    Attributes:
        net: of an R-CNN; its backbone, ``frozen_norm`` and what it returns at test are those of all networks.
        architecture: ``faster_rcnn`` with a mask head, as settings of earlier releases have it, is a ``mask_rcnn``.
        dfine, mask2former: for the architectures of these names.
    """

    net: RcnnSettings
    architecture: Architecture = "faster_rcnn"
    dfine: DFineSettings = field(default_factory=DFineSettings)
    mask2former: Mask2FormerSettings = field(default_factory=Mask2FormerSettings)

    def __post_init__(self) -> None:
        if self.architecture == "mask_rcnn" and not self.net.mask_channels:
            raise UserError("net.mask_channels: is 0, so that a mask_rcnn would learn no masks: take 64, say")

    @property
    def has_masks(self) -> bool:
        """Whether it learns masks, and what it finds has one."""
        if self.architecture in ("dfine", "mask2former"):
            return self.architecture == "mask2former"
        return self.net.mask_channels > 0
