"""Prompts for the mask decoder, and how a batch of them is cut into runs of the sizes that a backend wants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from weaksam.arrays import Float32

FOREGROUND, BACKGROUND, TOP_LEFT, BOTTOM_RIGHT, PADDING = 1.0, 0.0, 2.0, 3.0, -1.0


@dataclass(frozen=True)
class PromptBatch:
    """P prompts of N points each: ``coords`` [P,N,2] x, y in pixels of the graph's input, ``labels`` [P,N]."""

    coords: Float32
    labels: Float32

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> PromptBatch:
        """Return one prompt, as a batch."""
        return PromptBatch(self.coords[index : index + 1], self.labels[index : index + 1])


@dataclass(frozen=True)
class DecodedBatch:
    """Results of P prompts at M mask levels: ``boxes`` [P,M,4] in pixels of the input, ``iou``, ``stability`` [P,M]."""

    boxes: Float32
    iou: Float32
    stability: Float32

    def __len__(self) -> int:
        return len(self.iou)


def point_prompts(points_xy: Float32) -> PromptBatch:
    """Return each point [P,2] alone, padded to two rows as Segment Anything itself pads a lone point."""
    coords = np.stack([points_xy, np.zeros_like(points_xy)], axis=1)
    labels = np.tile(np.array([FOREGROUND, PADDING], np.float32), (len(points_xy), 1))
    return PromptBatch(coords.astype(np.float32), labels)


def group_prompt(points_xy: Float32) -> PromptBatch:
    """Return all points [N,2] together as one prompt, at its exact N: padding would change the result."""
    return PromptBatch(points_xy[None].astype(np.float32), np.full((1, len(points_xy)), FOREGROUND, np.float32))


def box_prompts(boxes_xyxy: Float32) -> PromptBatch:
    """Return each box [P,4] as its two corners."""
    labels = np.tile(np.array([TOP_LEFT, BOTTOM_RIGHT], np.float32), (len(boxes_xyxy), 1))
    return PromptBatch(boxes_xyxy.reshape(-1, 2, 2).astype(np.float32), labels)


def grid_points(side: int, valid_hw: tuple[int, int]) -> Float32:
    """Return the centres [side*side,2] of an even grid over the image's part of the input, x, y in pixels."""
    centres = (np.arange(side, dtype=np.float32) + 0.5) / side
    ys, xs = np.meshgrid(centres * valid_hw[0], centres * valid_hw[1], indexing="ij")
    return np.stack([xs.ravel(), ys.ravel()], axis=1)


def split_prompts(batch: PromptBatch, buckets: Sequence[int]) -> list[PromptBatch]:
    """Cut a batch into runs whose lengths are among ``buckets``, repeating the last prompt as padding.

    Fixed sizes spare TensorRT a new plan and keep memory bounded; the caller drops the results of the padding.
    """
    largest = max(buckets)
    starts = range(0, len(batch), largest)
    return [_pad_to_bucket(batch.coords[s : s + largest], batch.labels[s : s + largest], buckets) for s in starts]


def _pad_to_bucket(coords: Float32, labels: Float32, buckets: Sequence[int]) -> PromptBatch:
    bucket = min(size for size in buckets if size >= len(labels))
    missing = bucket - len(labels)
    if not missing:
        return PromptBatch(coords, labels)
    return PromptBatch(
        np.concatenate([coords, np.repeat(coords[-1:], missing, axis=0)]),
        np.concatenate([labels, np.repeat(labels[-1:], missing, axis=0)]),
    )
