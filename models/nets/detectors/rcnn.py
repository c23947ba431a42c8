"""Faster R-CNN and Mask R-CNN from torchvision's parts, for any timm backbone, with RoI drop.

Box regression and masks are class-agnostic: pseudo ground truth has few boxes of a rare class, and graphs stay small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import concat_box_prediction_layers
from torchvision.ops import MultiScaleRoIAlign, clip_boxes_to_image

from models.nets.detectors.detector import Detector, create_detector_backbone
from models.nets.detectors.output import DetectorTensors, best_detections
from models.nets.detectors.rcnn_losses import box_losses, mask_loss, rpn_losses
from models.nets.detectors.rcnn_parts import POOLED_SIDE, BoxHead, Pyramid, as_image_list, build_rpn, roi_mask_targets
from models.nets.detectors.settings import NetSettings, RcnnSettings
from models.nets.detectors.targets import Foreground, Target

POOLED_MASK_SIDE = 14


class Rcnn(Detector):
    """The retrained detector with RoI drop, and with a mask head the instance segmenter; see `Detector`."""

    def __init__(self, settings: NetSettings, sizes: RcnnSettings, backbone: nn.Module, classes: int) -> None:
        super().__init__(settings)
        self.sizes = sizes
        self.pyramid = Pyramid(backbone, sizes)
        self.rpn = build_rpn(sizes)
        levels = [str(i) for i in range(len(self.pyramid.widths))]
        self.box_head = BoxHead(sizes.channels, sizes.hidden, classes)
        pool = MultiScaleRoIAlign(levels, POOLED_SIDE, sampling_ratio=2, canonical_scale=sizes.roi_scale_px)
        # torchvision's object for sampling RoIs and coding boxes; the heads are run, and their losses taken, here.
        self.rois = RoIHeads(pool, None, None, 0.5, 0.5, sizes.rois, 0.25, None, 0.0, settings.nms_iou, 0)
        if sizes.mask_channels:
            self.mask_pool = MultiScaleRoIAlign(
                levels, POOLED_MASK_SIDE, sampling_ratio=2, canonical_scale=sizes.roi_scale_px
            )
            widths = (sizes.mask_channels,) * sizes.mask_layers
            self.mask_head = nn.Sequential(
                MaskRCNNHeads(sizes.channels, widths, dilation=1),
                MaskRCNNPredictor(sizes.mask_channels, sizes.mask_channels, 1),
            )

    @property
    def backbone(self) -> nn.Module:
        return self.pyramid.backbone

    @property
    def output_names(self) -> tuple[str, ...]:
        return (*super().output_names, *(("masks",) if self.sizes.mask_channels else ()))

    def forward(
        self, image_bhwc_u8: torch.Tensor, targets: Sequence[Target]
    ) -> tuple[dict[str, torch.Tensor], Foreground]:
        """Return the losses of a batch [B,S,S,3], and its foreground RoIs."""
        features = self.pyramid(image_bhwc_u8)
        wanted = [{"boxes": target.boxes_xyxy, "labels": target.labels} for target in targets]
        images = as_image_list(image_bhwc_u8)
        proposals, losses, dropped_anchors = self._propose(images, features, wanted)
        boxes, matched, labels, deltas = self.rois.select_training_samples(proposals, wanted)
        logits, found_deltas = self.box_head(self.rois.box_roi_pool(features, boxes, images.image_sizes))
        found = box_losses(logits, found_deltas, torch.cat(labels), torch.cat(deltas), self.drop_rule)
        losses |= {"loss_class": found.classification, "loss_box": found.regression}
        foreground_rows = [rows > 0 for rows in labels]
        boxes = [rows[mine] for rows, mine in zip(boxes, foreground_rows, strict=True)]
        if self.sizes.mask_channels:
            matched = [rows[mine] for rows, mine in zip(matched, foreground_rows, strict=True)]
            masks = [target.masks for target in targets]
            losses["loss_mask"] = self._mask_loss(features, boxes, matched, masks, images, found.dropped)
        counts = torch.tensor([len(rows) for rows in boxes], device=image_bhwc_u8.device)
        foreground = Foreground(
            images=torch.repeat_interleave(counts),
            boxes_xyxy=torch.cat(boxes),
            labels=torch.cat([rows[mine] for rows, mine in zip(labels, foreground_rows, strict=True)]),
            losses=found.of_foreground,
            dropped=found.dropped,
            dropped_anchors=dropped_anchors,
        )
        return losses, foreground

    def detect(self, image_bhwc_u8: torch.Tensor, allowed: torch.Tensor) -> DetectorTensors:
        """Detect the allowed classes in one image uint8 [1,H,W,3]; no other class takes part in anything.

        ``allowed`` [C] is above 0.5 where a class is allowed. The others leave the logits before the softmax, so that
        they take no score from an allowed class, before suppression and before the bound on numbers.
        """
        features = self.pyramid(image_bhwc_u8)
        images = as_image_list(image_bhwc_u8)
        proposals, _ = self.rpn(images, features)
        logits, deltas = self.box_head(self.rois.box_roi_pool(features, proposals, images.image_sizes))
        boxes = self.rois.box_coder.decode(deltas, proposals)[:, 0]
        boxes = clip_boxes_to_image(boxes, images.image_sizes[0])
        forbidden = torch.cat([torch.zeros_like(allowed[:1]), (allowed < 0.5).to(allowed.dtype)]) > 0.5
        scores = logits.masked_fill(forbidden, -math.inf).softmax(dim=1)[:, 1:]  # [R,C]
        best = best_detections(boxes, scores, self.settings, image_bhwc_u8.shape[1:3])
        masks = self._mask_logits(features, best.boxes_xyxy, images)
        return DetectorTensors(best.boxes_xyxy, best.labels, best.scores, masks, best.boxes_xyxy)

    def _mask_logits(self, features: dict[str, torch.Tensor], boxes: torch.Tensor, images: ImageList) -> torch.Tensor:
        if not self.sizes.mask_channels:
            return boxes.new_zeros((len(boxes), 0, 0))
        logits: torch.Tensor = self.mask_head(self.mask_pool(features, [boxes], images.image_sizes))
        return logits[:, 0]

    def _propose(
        self, images: ImageList, features: dict[str, torch.Tensor], wanted: list[dict[str, torch.Tensor]]
    ) -> tuple[list[torch.Tensor], dict[str, torch.Tensor], torch.Tensor]:
        """Return proposals of each image, the RPN's losses and the number of anchors dropped from them."""
        rpn, levels = self.rpn, list(features.values())
        # Anchors and boxes in single precision: half has steps of a pixel and more at the far side of an image.
        objectness, deltas = ([found.float() for found in part] for part in rpn.head(levels))
        anchors = rpn.anchor_generator(images, objectness)
        counts = [math.prod(scores[0].shape) for scores in objectness]
        objectness, deltas = concat_box_prediction_layers(objectness, deltas)
        decoded = rpn.box_coder.decode(deltas.detach(), anchors).view(len(anchors), -1, 4)
        proposals, _ = rpn.filter_proposals(decoded, objectness, images.image_sizes, counts)
        labels, matched = rpn.assign_targets_to_anchors(anchors, wanted)
        targets = torch.cat(rpn.box_coder.encode(matched, anchors))
        positive, negative = rpn.fg_bg_sampler(labels)
        sampled = torch.where(torch.cat(positive) | torch.cat(negative))[0]
        loss_objectness, loss_box, dropped = rpn_losses(
            objectness.flatten()[sampled],
            deltas[sampled],
            torch.cat(labels)[sampled],
            targets[sampled],
            self.drop_rule,
        )
        return proposals, {"loss_objectness": loss_objectness, "loss_rpn_box": loss_box}, dropped

    def _mask_loss(
        self,
        features: dict[str, torch.Tensor],
        boxes: list[torch.Tensor],
        matched: list[torch.Tensor],
        masks: list[torch.Tensor],
        images: ImageList,
        dropped: torch.Tensor,
    ) -> torch.Tensor:
        logits = self.mask_head(self.mask_pool(features, boxes, images.image_sizes))[:, 0].float()
        parts = zip(masks, boxes, matched, strict=True)
        targets = [roi_mask_targets(*part, logits.shape[-1]) for part in parts if len(part[1])]
        return mask_loss(logits, torch.cat([logits[:0], *targets]), dropped)


def build_rcnn(settings: NetSettings, sizes: RcnnSettings, classes: int, weights: str = "none") -> Rcnn:
    """Build an R-CNN with fresh heads on a backbone with ``weights`` as `create_backbone` takes them."""
    return Rcnn(settings, sizes, create_detector_backbone(settings, weights), classes)
