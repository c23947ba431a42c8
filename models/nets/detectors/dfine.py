"""D-FINE (arXiv 2410.13842), a detector with denoising queries from `transformers`, over our backbone.

WeakSAM's best figures are DINO's (arXiv 2203.03605); D-FINE is its descendant: queries are selected from the encoder's
best positions and matched one to one, and noised boxes are denoised beside them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torchvision.ops import box_convert, clip_boxes_to_image
from transformers import DFineConfig, DFineModel, TimmBackboneConfig
from transformers.models.d_fine.modeling_d_fine import DFineMLP

from models.nets.backbone import normalise_image, stride_levels
from models.nets.detectors.detector import Detector, create_detector_backbone
from models.nets.detectors.dfine_losses import dfine_losses
from models.nets.detectors.output import DetectorTensors, best_detections
from models.nets.detectors.query_parts import BackboneMaps, ClassHead, box_targets, forbid
from models.nets.detectors.settings import DFineSettings, NetSettings
from models.nets.detectors.targets import Foreground, Target

STRIDES_PX = (8, 16, 32)


class DFine(Detector):
    """The retrained detector as a D-FINE, with query drop; see `Detector`."""

    def __init__(self, settings: NetSettings, sizes: DFineSettings, backbone: nn.Module, classes: int) -> None:
        super().__init__(settings)
        maps = BackboneMaps(backbone, len(STRIDES_PX))
        self.model = DFineModel(_config(settings.backbone, sizes, maps.channels, classes))
        self.model.backbone = _Features(maps)
        # One head for each layer, as published; `transformers` ties them into one.
        bins = 4 * (self.model.config.max_num_bins + 1)
        layers = range(sizes.decoder_layers)
        heads = [ClassHead(sizes.channels, classes) for _ in layers]
        self.model.enc_score_head = ClassHead(sizes.channels, classes)
        self.model.decoder.class_embed = nn.ModuleList(heads)
        self.model.decoder.bbox_embed = nn.ModuleList(
            DFineMLP(sizes.channels, sizes.channels, bins, num_layers=3) for _ in layers
        )
        self._class_heads = [self.model.enc_score_head, *heads]
        self._start_heads(classes)

    @property
    def backbone(self) -> nn.Module:
        return self._maps.backbone

    def forward(
        self, image_bhwc_u8: torch.Tensor, targets: Sequence[Target]
    ) -> tuple[dict[str, torch.Tensor], Foreground]:
        """Return the losses of a batch [B,S,S,3], and the objects that queries were matched to."""
        size_hw = image_bhwc_u8.shape[1:3]
        wanted = box_targets(targets, size_hw)
        with self._maps.alone_in_mixed_precision(image_bhwc_u8.device.type):
            output = self.model(normalise_image(image_bhwc_u8), labels=wanted)
            losses, matched = dfine_losses(output, wanted, self.model.config, self.drop_rule)
        return losses, matched.foreground(targets)

    def detect(self, image_bhwc_u8: torch.Tensor, allowed: torch.Tensor) -> DetectorTensors:
        """Detect the allowed classes in one image uint8 [1,H,W,3]; no other class takes part in anything.

        ``allowed`` [C] is above 0.5 for a class that is allowed. The others leave the logits before positions become
        queries, so that they take no query from an allowed class.
        """
        height, width = image_bhwc_u8.shape[1:3]
        forbid(self._class_heads, allowed)
        try:
            output = self.model(normalise_image(image_bhwc_u8))
        finally:
            forbid(self._class_heads, None)
        scores = output.intermediate_logits[0, -1].sigmoid()  # [Q,C]
        # As tensors, so that a traced graph takes the sizes of its own input.
        scale = torch.stack([torch.as_tensor(side) for side in (width, height, width, height)]).to(scores)
        boxes = box_convert(output.intermediate_reference_points[0, -1], "cxcywh", "xyxy") * scale
        best = best_detections(clip_boxes_to_image(boxes, (height, width)), scores, self.settings, (height, width))
        no_masks = boxes.new_zeros((len(best.rows), 0, 0))
        return DetectorTensors(best.boxes_xyxy, best.labels, best.scores, no_masks, best.boxes_xyxy)

    @property
    def _maps(self) -> BackboneMaps:
        found: BackboneMaps = self.model.backbone.maps
        return found

    def _start_heads(self, classes: int) -> None:
        """Start as published: every class improbable, every box where its layer takes it over."""
        bias = -math.log(classes)  # a probability of 1 / (classes + 1)
        for head in self._class_heads:
            nn.init.xavier_uniform_(head.weight)
            nn.init.constant_(head.bias, bias)
        for head in self.model.decoder.bbox_embed:
            nn.init.zeros_(head.layers[-1].weight)
            nn.init.zeros_(head.layers[-1].bias)


class _Features(nn.Module):
    """Our maps in the form in which D-FINE takes a backbone's: each with a mask, which it does not read."""

    def __init__(self, maps: BackboneMaps) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, image: torch.Tensor, pixel_mask: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        return [(features, pixel_mask) for features in self.maps(image)]


def _config(backbone: str, sizes: DFineSettings, widths: Sequence[int], classes: int) -> DFineConfig:
    # A backbone without weights, whose place ours takes: `transformers` builds no D-FINE without one.
    stand_in = TimmBackboneConfig(
        backbone=backbone, out_indices=list(stride_levels(backbone, STRIDES_PX)), use_pretrained_backbone=False
    )
    return DFineConfig(
        backbone_config=stand_in,
        freeze_backbone_batch_norms=False,
        num_labels=classes,
        encoder_in_channels=list(widths),
        feat_strides=list(STRIDES_PX),
        encoder_hidden_dim=sizes.channels,
        encoder_ffn_dim=sizes.hidden,
        encoder_attention_heads=sizes.heads,
        depth_mult=sizes.depth,
        d_model=sizes.channels,
        num_queries=sizes.queries,
        decoder_in_channels=[sizes.channels] * len(STRIDES_PX),
        num_feature_levels=len(STRIDES_PX),
        decoder_ffn_dim=sizes.hidden,
        decoder_layers=sizes.decoder_layers,
        decoder_attention_heads=sizes.heads,
        num_denoising=sizes.denoising,
    )


def build_dfine(settings: NetSettings, sizes: DFineSettings, classes: int, weights: str = "none") -> DFine:
    """Build a D-FINE with fresh heads on a backbone with ``weights`` as `create_backbone` takes them."""
    return DFine(settings, sizes, create_detector_backbone(settings, weights), classes)
