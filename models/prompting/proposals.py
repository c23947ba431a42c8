"""From prompts to proposals, written once for training and serving.

`propose` does no inference itself: it yields prompts and is sent what the decoder made of them, so that the
training loop drives it with a plain call and the service with an awaited one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from models.boxes import box_areas, clip_boxes, enlarge_boxes, nms, points_in_boxes, reach_a_pixel
from models.prompting.peaks import Peaks
from models.prompting.prompts import (
    DecodedBatch,
    PromptBatch,
    box_prompts,
    grid_points,
    group_prompt,
    point_prompts,
    split_prompts,
)
from models.settings import PromptSettings
from weaksam.arrays import Float32, Int64

# Of promising boxes that overlap by more, points are sought in the better one.
SAME_THING_IOU = 0.7


@dataclass(frozen=True)
class Proposals:
    """Columns of equal length N.

    Attributes:
        boxes_xyxy: [N,4] tight boxes of masks, half-open, in pixels of the graph's input.
        predicted_iou: [N] the decoder's own estimate of mask quality.
        stability: [N] IoU of the mask cut at logits +1 and -1.
        prompts: [N] index of the prompt in the order of the decoder's runs.
        levels: [N] mask level of that prompt.
        from_peak: [N] whether its prompt came from peaks, not from a box, the prompt map or the grid.
    """

    boxes_xyxy: Float32
    predicted_iou: Float32
    stability: Float32
    prompts: Int64
    levels: Int64
    from_peak: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.predicted_iou)

    @staticmethod
    def empty() -> Proposals:
        return Proposals(
            np.zeros((0, 4), np.float32),
            np.zeros(0, np.float32),
            np.zeros(0, np.float32),
            np.zeros(0, np.int64),
            np.zeros(0, np.int64),
            np.zeros(0, np.bool_),
        )

    def __getitem__(self, index: npt.NDArray[np.bool_] | npt.NDArray[np.integer]) -> Proposals:
        return Proposals(*(getattr(self, field.name)[index] for field in fields(self)))


@dataclass(frozen=True)
class ProposalSet:
    """Proposals with the prompts they came from: prompt number ``proposals.prompts[i]`` repeats mask i.

    Attributes:
        proposals: the masks that were kept, best first.
        prompts: in the order of the decoder's runs.
        peak_prompts: number of prompts from peaks; they come first.
        dropped: masks good enough to keep that lost their place to a near-duplicate or to the limit.
    """

    proposals: Proposals
    prompts: tuple[PromptBatch, ...]
    peak_prompts: int
    dropped: Proposals

    @property
    def prompt_count(self) -> int:
        return sum(map(len, self.prompts))


Proposing = Generator[PromptBatch, DecodedBatch, ProposalSet]
Decode = Callable[[PromptBatch], DecodedBatch]


def propose(
    peaks: Peaks,
    valid_hw: tuple[int, int],
    settings: PromptSettings,
    map_points_xy: Float32 | None = None,
    boxes_xyxy: Float32 | None = None,
) -> Proposing:
    """Yield prompts: peaks, groups of peaks, boxes, then the prompt map's points that no good mask covers.

    A segmenter without a prompt map gets the points of grids instead, from coarse to fine. Last come points of the
    finest grid that lie in promising boxes: a thing of few pixels gets several points, and the ground around it none.
    Prompts do not depend on how a backend cuts them into runs, so every backend gives the same proposals.

    Args:
        peaks: of all tags together, in pixels of the graph's input.
        valid_hw: part of the input that holds the image, in pixels.
        settings: of the bundle.
        map_points_xy: maxima [N,2] of the prompt map, highest first, in pixels of the graph's input; None takes grids.
        boxes_xyxy: boxes [B,4] in which something may be, best first, in pixels of the graph's input.

    Yields:
        Prompt batches of one length N each; send the decoder's results back in the same order.
    """
    asked = _Asked(settings, valid_hw)
    yield from _ask_about_peaks(asked, peaks)
    peak_prompts = asked.prompt_count
    if boxes_xyxy is not None and asked.left:
        yield from asked.ask(box_prompts(enlarge_boxes(boxes_xyxy[: asked.left], settings.box_margin, valid_hw)))
    if map_points_xy is None:
        for side in settings.grid_sides:
            # A grid's points are sorted by place, so that the first ones would leave out an image's foot.
            yield from asked.ask(point_prompts(_thinned(asked.uncovered(grid_points(side, valid_hw)), asked.left)))
    else:
        yield from asked.ask(point_prompts(asked.uncovered(map_points_xy)[: asked.left]))
    yield from asked.ask(point_prompts(_promising(asked)[: asked.left]))
    return _selected(asked, peak_prompts)


class _Asked:
    """The prompts that were yielded for one image so far, and the masks that came back."""

    def __init__(self, settings: PromptSettings, valid_hw: tuple[int, int]) -> None:
        self.settings = settings
        self.valid_hw = valid_hw
        self.prompts: list[PromptBatch] = []
        self.masks = Proposals.empty()

    @property
    def prompt_count(self) -> int:
        return sum(map(len, self.prompts))

    @property
    def left(self) -> int:
        """How many prompts may still be yielded."""
        return max(0, self.settings.max_prompts - self.prompt_count)

    def ask(self, batch: PromptBatch, from_peak: bool = False) -> Generator[PromptBatch, DecodedBatch, None]:
        """Yield a batch, unless it is empty, and keep its masks: all of peaks, and others if they are good enough."""
        if not len(batch):
            return
        decoded = yield batch
        found = _masks_of(decoded, self.prompt_count, from_peak, self.settings)
        self.masks = _concat([self.masks, found])
        self.prompts.append(batch)

    def uncovered(self, points_xy: Float32) -> Float32:
        """Return those of points [N,2] that lie in no good mask's box."""
        boxes_xyxy = self.things(self.settings.cover_min_iou).boxes_xyxy
        uncovered: Float32 = points_xy[~points_in_boxes(points_xy, boxes_xyxy).any(axis=1)]
        return uncovered

    def things(self, min_iou: float) -> Proposals:
        """Return the masks of at least this predicted IoU whose boxes take at most `cover_max_area_share`."""
        max_area_px = self.settings.cover_max_area_share * self.valid_hw[0] * self.valid_hw[1]
        large = box_areas(self.masks.boxes_xyxy) > max_area_px
        return self.masks[(self.masks.predicted_iou >= min_iou) & ~large]


def _ask_about_peaks(asked: _Asked, peaks: Peaks) -> Generator[PromptBatch, DecodedBatch, None]:
    max_prompts = asked.settings.max_prompts
    labels, counts = np.unique(peaks.labels, return_counts=True)
    grouped = labels[counts > 1]
    # Groups cost little and say much, but they get no more than half of all prompts.
    points_xy = _in_turn(peaks, max(max_prompts - len(grouped), max_prompts // 2))
    yield from asked.ask(point_prompts(points_xy), from_peak=True)
    for label in grouped[: asked.left]:
        strongest_xy = _strongest(peaks, int(label), asked.settings.peak_max_count)
        yield from asked.ask(group_prompt(strongest_xy), from_peak=True)


def _selected(asked: _Asked, peak_prompts: int) -> ProposalSet:
    masks, settings = asked.masks, asked.settings
    kept = nms(masks.boxes_xyxy, masks.predicted_iou, settings.duplicate_iou)[: settings.max_proposals]
    dropped = np.setdiff1d(np.arange(len(masks)), kept)
    return ProposalSet(
        _clipped(masks[kept], asked.valid_hw),
        tuple(asked.prompts),
        peak_prompts,
        _clipped(masks[dropped], asked.valid_hw),
    )


def run_proposing(proposing: Proposing, decode: Decode, buckets: Sequence[int]) -> ProposalSet:
    """Drive `propose` with a synchronous decoder that takes runs of the given sizes."""
    try:
        batch = next(proposing)
        while True:
            decoded = [decode(run) for run in split_prompts(batch, buckets)]
            batch = proposing.send(join_decoded(decoded, len(batch)))
    except StopIteration as stop:
        proposal_set: ProposalSet = stop.value
        return proposal_set


def join_decoded(runs: Sequence[DecodedBatch], count: int) -> DecodedBatch:
    """Return the first ``count`` rows of the decoded runs of one batch; what follows is padding."""
    columns = ([getattr(run, field.name) for run in runs] for field in fields(DecodedBatch))
    return DecodedBatch(*(np.concatenate(column)[:count] for column in columns))


def prompt_of(prompts: Sequence[PromptBatch], index: int) -> PromptBatch:
    """Return the single prompt number ``index`` in the order of the decoder's runs."""
    for batch in prompts:
        if index < len(batch):
            return batch[index]
        index -= len(batch)
    raise ValueError(f"prompt index is {index} past the last prompt")


def _masks_of(decoded: DecodedBatch, first_prompt: int, from_peak: bool, settings: PromptSettings) -> Proposals:
    levels = np.array(settings.mask_levels)
    count = len(decoded)
    masks = Proposals(
        decoded.boxes[:, levels].reshape(-1, 4).astype(np.float32),
        decoded.iou[:, levels].reshape(-1).astype(np.float32),
        decoded.stability[:, levels].reshape(-1).astype(np.float32),
        np.repeat(np.arange(first_prompt, first_prompt + count), len(levels)),
        np.tile(levels, count),
        np.full(count * len(levels), from_peak),
    )
    good = (masks.predicted_iou >= settings.grid_min_iou) & (masks.stability >= settings.grid_min_stability)
    return masks[reach_a_pixel(masks.boxes_xyxy) & (good | masks.from_peak)]


def _promising(asked: _Asked) -> Float32:
    """Return points of the finest grid in promising boxes and in no good mask's, one of each box in turn."""
    points_xy = asked.uncovered(grid_points(asked.settings.focus_side, asked.valid_hw))
    things = asked.things(asked.settings.focus_min_iou)
    boxes_xyxy = things.boxes_xyxy[nms(things.boxes_xyxy, things.predicted_iou, SAME_THING_IOU)]
    centres_xy = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2
    distances_px = np.linalg.norm(points_xy[:, None] - centres_xy, axis=-1)  # [G,M]
    inside, never = points_in_boxes(points_xy, boxes_xyxy), len(points_xy)
    turns = np.where(inside, distances_px, np.inf).argsort(axis=0).argsort(axis=0)
    first_turn = np.where(inside, turns, never).min(axis=1, initial=never)
    order = np.argsort(first_turn, kind="stable")
    promising: Float32 = points_xy[order[first_turn[order] < never]]
    return promising


def _strongest(peaks: Peaks, label: int, max_count: int) -> Float32:
    """Return points of a label's highest peaks: kinds of maps together may exceed one prompt."""
    mine = np.flatnonzero(peaks.labels == label)
    points_xy: Float32 = peaks.points_xy[np.sort(mine[np.argsort(-peaks.values[mine], kind="stable")[:max_count]])]
    return points_xy


def _in_turn(peaks: Peaks, max_count: int) -> Float32:
    """Return the points of at most ``max_count`` peaks: the highest of each label, then the second of each, ..."""
    if len(peaks) <= max_count:
        return peaks.points_xy
    order = np.lexsort((-peaks.values, peaks.labels))
    sorted_labels = peaks.labels[order]
    ranks = np.empty(len(peaks), np.int64)
    ranks[order] = np.arange(len(peaks)) - np.searchsorted(sorted_labels, sorted_labels)
    kept = np.lexsort((-peaks.values, ranks))[:max_count]
    points_xy: Float32 = peaks.points_xy[np.sort(kept)]
    return points_xy


def _thinned(points_xy: Float32, max_count: int) -> Float32:
    """Return at most so many of the points, evenly over their order."""
    if len(points_xy) <= max_count:
        return points_xy
    spread = np.linspace(0, len(points_xy) - 1, max_count).round().astype(np.int64)
    thinned: Float32 = points_xy[spread]
    return thinned


def _clipped(masks: Proposals, valid_hw: tuple[int, int]) -> Proposals:
    return replace(masks, boxes_xyxy=clip_boxes(masks.boxes_xyxy, valid_hw))


def _concat(parts: Sequence[Proposals]) -> Proposals:
    return Proposals(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Proposals)))
