"""Mask2Former (arXiv 2112.01527), an instance segmenter with queries from `transformers`, over our backbone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace

import torch
from torch import nn
from transformers import Mask2FormerConfig, Mask2FormerModel, TimmBackboneConfig

from models.nets.backbone import STRIDES_PX, normalise_image, stride_levels
from models.nets.detectors.detector import Detector, create_detector_backbone
from models.nets.detectors.mask2former_losses import mask2former_losses
from models.nets.detectors.output import DetectorTensors, best_detections
from models.nets.detectors.query_parts import BackboneMaps, mask_targets_of
from models.nets.detectors.settings import Mask2FormerSettings, NetSettings
from models.nets.detectors.targets import Foreground, Target
from models.nets.mask_extent import profile_extent

LEVELS_PX = STRIDES_PX[1:]
MASK_STRIDE_PX = 4


class Mask2Former(Detector):
    """The instance segmenter as a Mask2Former, with query drop; see `Detector`. A mask's extent is its box."""

    def __init__(self, settings: NetSettings, sizes: Mask2FormerSettings, backbone: nn.Module, classes: int) -> None:
        super().__init__(settings)
        maps = BackboneMaps(backbone, len(LEVELS_PX))
        self.model = Mask2FormerModel(_config(settings.backbone, sizes, classes))
        self.model.pixel_level_module.encoder = _Features(maps)
        # The last class is that there is nothing.
        self.class_head = nn.Linear(sizes.channels, classes + 1)

    @property
    def backbone(self) -> nn.Module:
        return self._maps.backbone

    @property
    def output_names(self) -> tuple[str, ...]:
        return (*super().output_names, "masks", "mask_frames")

    @property
    def any_size(self) -> bool:
        return False  # positions and reference points are traced as numbers

    def forward(
        self, image_bhwc_u8: torch.Tensor, targets: Sequence[Target]
    ) -> tuple[dict[str, torch.Tensor], Foreground]:
        wanted = mask_targets_of(targets)
        with self._maps.alone_in_mixed_precision(image_bhwc_u8.device.type):
            logits, masks = self._layers(image_bhwc_u8)
            losses, matched = mask2former_losses(logits, masks, wanted, self.model.config, self.drop_rule)
        return losses, matched.foreground(targets)

    def detect(self, image_bhwc_u8: torch.Tensor, allowed: torch.Tensor) -> DetectorTensors:
        """See `Detector`. Classes that are not allowed leave the logits before the softmax.

        A query's score is its class's probability times the mean probability of its mask, as published.
        """
        height, width = image_bhwc_u8.shape[1:3]
        logits_of_layers, masks_of_layers = self._layers(image_bhwc_u8)
        logits, masks = logits_of_layers[-1][0], masks_of_layers[-1][0]  # [Q,C+1], [Q,H/4,W/4]
        forbidden = torch.cat([(allowed < 0.5).to(allowed.dtype), torch.zeros_like(allowed[:1])]) > 0.5
        scores = logits.masked_fill(forbidden, -math.inf).softmax(dim=1)[:, :-1] * _sureness(masks)[:, None]
        best = best_detections(_boxes(masks, image_bhwc_u8), scores, self.settings, (height, width))
        whole = torch.stack([torch.as_tensor(side) for side in (0, 0, width, height)]).to(masks)
        frames = torch.zeros_like(best.boxes_xyxy) + whole  # not expanded: a traced graph keeps their number
        return DetectorTensors(best.boxes_xyxy, best.labels, best.scores, masks[best.rows], frames)

    @property
    def _maps(self) -> BackboneMaps:
        found: BackboneMaps = self.model.pixel_level_module.encoder.maps
        return found

    def _layers(self, image_bhwc_u8: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Return class logits [B,Q,C+1] and mask logits [B,Q,H/4,W/4] of each layer."""
        output = self.model(normalise_image(image_bhwc_u8), output_hidden_states=True)
        states = output.transformer_decoder_intermediate_states
        return [self.class_head(state.transpose(0, 1)) for state in states], list(output.masks_queries_logits)


class _Features(nn.Module):
    """Our maps in the form in which Mask2Former takes a backbone's."""

    def __init__(self, maps: BackboneMaps) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, image: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(feature_maps=self.maps(image))


def _sureness(masks: torch.Tensor) -> torch.Tensor:
    """Return the mean probability [Q] of the pixels that mask logits [Q,h,w] draw; 0 if they draw none."""
    drawn = (masks > 0).to(masks.dtype)
    return (masks.sigmoid() * drawn).sum(dim=(1, 2)) / drawn.sum(dim=(1, 2)).clamp(min=1)


def _boxes(masks: torch.Tensor, image_bhwc_u8: torch.Tensor) -> torch.Tensor:
    """Return the boxes [Q,4] in input pixels of what mask logits [Q,h,w] draw."""
    # As tensors, so that a traced graph takes the sizes of its own input.
    height, width = (torch.as_tensor(side).to(masks) for side in image_bhwc_u8.shape[1:3])
    x0, x1 = profile_extent(masks.amax(dim=1), MASK_STRIDE_PX, width)
    y0, y1 = profile_extent(masks.amax(dim=2), MASK_STRIDE_PX, height)
    return torch.stack([x0, y0, x1, y1], dim=-1)


def _config(backbone: str, sizes: Mask2FormerSettings, classes: int) -> Mask2FormerConfig:
    # A backbone without weights, whose place ours takes: `transformers` builds no Mask2Former without one.
    stand_in = TimmBackboneConfig(
        backbone=backbone, out_indices=list(stride_levels(backbone, LEVELS_PX)), use_pretrained_backbone=False
    )
    return Mask2FormerConfig(
        backbone_config=stand_in,
        num_labels=classes,
        feature_size=sizes.channels,
        mask_feature_size=sizes.channels,
        hidden_dim=sizes.channels,
        encoder_feedforward_dim=sizes.hidden,
        dim_feedforward=sizes.hidden,
        encoder_layers=sizes.encoder_layers,
        decoder_layers=sizes.decoder_layers + 1,  # it counts what the queries say before the first layer
        num_attention_heads=sizes.heads,
        num_queries=sizes.queries,
        train_num_points=sizes.points,
    )


def build_mask2former(
    settings: NetSettings, sizes: Mask2FormerSettings, classes: int, weights: str = "none"
) -> Mask2Former:
    """Build a Mask2Former with fresh heads on a backbone with ``weights`` as `create_backbone` takes them."""
    return Mask2Former(settings, sizes, create_detector_backbone(settings, weights), classes)
