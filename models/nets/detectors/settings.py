"""Which network a detector is, and its sizes: training, report and export build it from the same settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from models.ranges import Above0, Share, WholeFrom0, WholeFrom1
from weaksam.errors import UserError

Architecture = Literal["faster_rcnn", "mask_rcnn", "dfine", "mask2former"]


@dataclass(frozen=True)
class NetSettings:
    """What every network has: its backbone, and what it returns at test.

    Attributes:
        backbone: a timm model with strides 4 to 32.
        frozen_norm: keep the backbone's batch normalisation as it was loaded, for batches too small to measure it.
        min_score: minimum score of a detection.
        nms_iou: of two detections of one class with a higher IoU, the lower score goes.
        max_detections: maximum of detections of an image.
    """

    backbone: str
    frozen_norm: bool
    min_score: Share = 0.05
    nms_iou: Share = 0.5
    max_detections: WholeFrom1 = 100


@dataclass(frozen=True)
class RcnnSettings:
    """Size and anchors of an R-CNN.

    Attributes:
        channels: of the feature pyramid.
        hidden: width of the box head's two layers.
        anchor_sides_px: sides of the anchors of each pyramid level; the levels end at stride 32, and five of them
            add one of stride 64.
        roi_scale_px: boxes from this side up to twice it are pooled at stride 16, smaller ones at finer levels.
        mask_channels: of the mask head, which is left out at 0.
        mask_layers: 3x3 convolutions of the mask head.
        rois: RoIs of each image that the box head learns from; a quarter at most is foreground.
        proposals: maximum of proposals of an image at test; twice as many in training.
    """

    channels: WholeFrom1
    hidden: WholeFrom1
    anchor_sides_px: tuple[tuple[WholeFrom1, ...], ...]
    roi_scale_px: WholeFrom1
    mask_channels: WholeFrom0
    mask_layers: WholeFrom0
    rois: WholeFrom1
    proposals: WholeFrom1


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

    queries: WholeFrom1 = 100
    channels: WholeFrom1 = 128
    hidden: WholeFrom1 = 512
    heads: WholeFrom1 = 8
    decoder_layers: WholeFrom1 = 3
    depth: Above0 = 0.34
    denoising: WholeFrom0 = 100

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

    queries: WholeFrom1 = 50
    channels: WholeFrom1 = 128
    hidden: WholeFrom1 = 512
    heads: WholeFrom1 = 8
    encoder_layers: WholeFrom1 = 2
    decoder_layers: WholeFrom1 = 3
    points: WholeFrom1 = 4096

    def __post_init__(self) -> None:
        if self.channels % 32 or self.channels % self.heads:
            raise UserError(f"channels: must be a multiple of 32 and of the {self.heads} heads, got {self.channels}")


@dataclass(frozen=True, kw_only=True)
class DetectorSettings:
    """Architecture and sizes of a detector or an instance segmenter.

    Attributes:
        net: what every network has.
        architecture: ``faster_rcnn`` with a mask head, as settings of earlier versions have it, is a ``mask_rcnn``.
        rcnn: of ``faster_rcnn`` and ``mask_rcnn``, which need it.
        dfine, mask2former: of the architectures of these names.

    Raises:
        UserError: the architecture's section is missing, or a ``mask_rcnn`` has no mask head.
    """

    net: NetSettings
    architecture: Architecture = "faster_rcnn"
    rcnn: RcnnSettings | None = None
    dfine: DFineSettings = field(default_factory=DFineSettings)
    mask2former: Mask2FormerSettings = field(default_factory=Mask2FormerSettings)

    def __post_init__(self) -> None:
        if self.architecture in ("faster_rcnn", "mask_rcnn") and self.rcnn is None:
            raise UserError(
                f"rcnn: a {self.architecture} needs this section, take that of training/configs/stages/detector.toml"
            )
        if self.architecture == "mask_rcnn" and not self.has_masks:
            raise UserError("rcnn.mask_channels: is 0, so that a mask_rcnn would learn no masks: take 64, say")

    @property
    def has_masks(self) -> bool:
        """Whether it learns masks, and what it finds has one."""
        if self.architecture in ("dfine", "mask2former"):
            return self.architecture == "mask2former"
        return self.rcnn is not None and self.rcnn.mask_channels > 0

    @property
    def loss_terms(self) -> tuple[str, ...]:
        """Names of the terms that the network learns by."""
        if self.architecture == "dfine":
            denoising = ("loss_denoising",) if self.dfine.denoising else ()
            return ("loss_class", "loss_box", "loss_giou", "loss_corners", "loss_distillation", *denoising)
        if self.architecture == "mask2former":
            return ("loss_class", "loss_mask", "loss_dice")
        masks = ("loss_mask",) if self.has_masks else ()
        return ("loss_objectness", "loss_rpn_box", "loss_class", "loss_box", *masks)


@dataclass(frozen=True)
class DropRule:
    """Which foreground RoIs and anchors to drop.

    Attributes:
        unit: ``absolute``: the thresholds are losses. ``quantile``: they are quantiles of the foreground of the whole
            batch, over all ranks, for schedules whose losses have another scale than the paper's.
        classification, regression: a foreground RoI whose losses exceed both is dropped.
        rpn: a foreground anchor whose regression loss exceeds it is dropped from the RPN's regression.
    """

    unit: Literal["absolute", "quantile"]
    classification: float
    regression: float
    rpn: float

    def __post_init__(self) -> None:
        if self.unit == "quantile" and not all(0 <= q <= 1 for q in (self.classification, self.regression, self.rpn)):
            raise UserError(f"quantiles must be in 0..1, got {self}")


def of_this_release(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's settings with the sizes of its R-CNN in ``rcnn``: earlier versions had them in ``net``."""
    net = dict(values["net"])
    sizes = {field.name: net.pop(field.name) for field in fields(RcnnSettings) if field.name in net}
    return {**values, "net": net, "rcnn": sizes or values.get("rcnn")}
