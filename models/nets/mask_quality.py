"""How good each drawn mask is, seen from the masks themselves.

Segment Anything predicts the IoU of all levels from one token, before anything is drawn. Which level a point means also
shows in what was drawn: whether its edges are sure, and how the levels agree. So the prediction is corrected by it, as
Mask Scoring R-CNN (arXiv 1903.00241) scores a mask by looking at it.
"""

from __future__ import annotations

import torch
from torch import nn

EDGE_LOGIT = 1.0  # as `SamAutomaticMaskGenerator`'s offset of stability
SURE_LOGIT = 4.0
MIN_AREA_SHARE = 1e-4
# Each level with the two others: row r names, for each level, the one that is r places after it, in a circle.
TURNS = ((0, 1, 2), (1, 2, 0), (2, 0, 1))
STATISTICS = 5


class MaskQuality(nn.Module):
    """A correction of the predicted IoU; it starts at zero, so that a decoder without it goes on from where it was."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        last = nn.Linear(channels // 2, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(
            nn.Linear(2 * channels + len(TURNS) * STATISTICS, channels),
            nn.GELU(),
            nn.Linear(channels, channels // 2),
            nn.GELU(),
            last,
        )

    def forward(self, states: torch.Tensor, logits: torch.Tensor, predicted_iou: torch.Tensor) -> torch.Tensor:
        """Return the corrected IoU [P,3]. No gradient flows into what it judges but ``predicted_iou``.

        Args:
            states: [P,4,D] of the decoder's tokens: the IoU's, and each level's.
            logits: [P,3,h,h] of the masks; every second row and column is enough.
            predicted_iou: [P,3] of the decoder.
        """
        seen = self.inputs(states.detach(), logits.detach(), predicted_iou.detach())
        corrections: torch.Tensor = self.layers(seen.reshape(-1, seen.shape[2]))
        return predicted_iou + corrections.reshape(-1, len(TURNS))

    def inputs(self, states: torch.Tensor, logits: torch.Tensor, predicted_iou: torch.Tensor) -> torch.Tensor:
        """Return what `layers` see of each level, [P,3,F]."""
        drawn = mask_statistics(logits, predicted_iou)  # [P,3,5]
        beside = torch.cat([drawn[:, list(turn)] for turn in zip(*TURNS, strict=True)], dim=2)  # [P,3,15]
        of_prompt = states[:, :1].expand(-1, len(TURNS), -1)
        return torch.cat([of_prompt, states[:, 1:], beside], dim=2)


def mask_statistics(logits: torch.Tensor, predicted_iou: torch.Tensor) -> torch.Tensor:
    """Describe mask logits [P,3,h,h] by numbers [P,3,5] of about 0 to 1.

    They are the predicted IoU, the stability, how sure the pixels inside are, the logarithm of the area, and the IoU
    with the level that follows.
    """
    flat = logits.flatten(2)
    inside = (flat > 0).float()
    area = inside.sum(dim=2)
    stability = _count(flat > EDGE_LOGIT) / _count(flat > -EDGE_LOGIT).clamp(min=1)
    sureness = flat.clamp(0, SURE_LOGIT).sum(dim=2) / area.clamp(min=1) / SURE_LOGIT
    size = (area / flat.shape[2] + MIN_AREA_SHARE).log() / 10 + 1
    shared = inside @ inside.transpose(1, 2)
    first, following = TURNS[0], TURNS[1]
    both = torch.stack([shared[:, i, j] for i, j in zip(first, following, strict=True)], dim=1)
    overlap = both / (area + area[:, list(following)] - both).clamp(min=1)
    return torch.stack([predicted_iou, stability, sureness, size, overlap], dim=2)


def _count(chosen: torch.Tensor) -> torch.Tensor:
    return chosen.float().sum(dim=2)
