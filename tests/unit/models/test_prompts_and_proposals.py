"""Prompts, and the sans-IO generator that turns them into proposals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.prompting.peaks import Peaks
from models.prompting.prompts import (
    PADDING,
    DecodedBatch,
    PromptBatch,
    grid_points,
    group_prompt,
    point_prompts,
    split_prompts,
)
from models.prompting.proposals import prompt_of, propose, run_proposing
from models.settings import PromptSettings
from weaksam.arrays import Float32

SETTINGS = PromptSettings(grid_sides=(2, 4), mask_levels=(0, 1), max_prompts=64)
SIDE = 64


def peaks_at(*rows: tuple[float, float, int]) -> Peaks:
    points = np.array([(x, y) for x, y, _ in rows], np.float32).reshape(-1, 2)
    return Peaks(points, np.array([label for *_, label in rows], np.int64), np.ones(len(rows), np.float32))


class SquareDecoder:
    """Answers each prompt with a box around its first point; remembers the sizes of its runs."""

    def __init__(self, half_px: float = 6, iou: float = 0.95) -> None:
        self.half_px, self.iou, self.runs = half_px, iou, list[int]()

    def __call__(self, batch: PromptBatch) -> DecodedBatch:
        self.runs.append(len(batch))
        centres = batch.coords[:, 0]
        small = np.concatenate([centres - self.half_px, centres + self.half_px], axis=1)
        large = np.concatenate([centres - 2 * self.half_px, centres + 2 * self.half_px], axis=1)
        boxes = np.stack([small, large, np.zeros_like(small)], axis=1)
        iou = np.tile(np.array([self.iou, self.iou / 2, 0.1], np.float32), (len(batch), 1))
        return DecodedBatch(boxes.astype(np.float32), iou, np.ones_like(iou))


def test_a_lone_point_is_padded_as_segment_anything_does() -> None:
    batch = point_prompts(np.array([[3, 4]], np.float32))
    assert batch.coords.tolist() == [[[3, 4], [0, 0]]]
    assert batch.labels.tolist() == [[1, PADDING]]


def test_a_group_runs_at_its_exact_length() -> None:
    assert group_prompt(np.zeros((3, 2), np.float32)).labels.tolist() == [[1, 1, 1]]


def test_a_grid_covers_the_valid_area_evenly() -> None:
    assert grid_points(2, (40, 80)).tolist() == [[20, 10], [60, 10], [20, 30], [60, 30]]


@pytest.mark.parametrize(("count", "runs"), [(1, [4]), (4, [4]), (5, [8]), (8, [8]), (17, [8, 8, 4])])
def test_runs_have_the_sizes_of_the_buckets(count: int, runs: list[int]) -> None:
    batch = point_prompts(np.arange(2 * count, dtype=np.float32).reshape(count, 2))
    parts = split_prompts(batch, (4, 8))
    assert [len(part) for part in parts] == runs
    rejoined = np.concatenate([part.coords for part in parts])[:count]
    assert np.array_equal(rejoined, batch.coords)


def test_the_answer_does_not_depend_on_the_sizes_of_the_runs() -> None:
    results = [
        run_proposing(propose(peaks_at((10, 10, 0)), (SIDE, SIDE), SETTINGS), SquareDecoder(), buckets)
        for buckets in [(1,), (4, 8), (64,)]
    ]
    for result in results[1:]:
        assert np.array_equal(result.proposals.boxes_xyxy, results[0].proposals.boxes_xyxy)


def test_peaks_are_asked_first_then_groups_then_grids() -> None:
    picture = run_proposing(
        propose(peaks_at((10, 10, 0), (50, 50, 0), (30, 30, 1)), (SIDE, SIDE), SETTINGS), SquareDecoder(iou=0.1), (64,)
    )
    assert [batch.labels.shape for batch in picture.prompts] == [(3, 2), (1, 2), (4, 2), (16, 2)]
    assert picture.prompts[1].labels.tolist() == [[1, 1]]


def test_a_group_holds_the_strongest_peaks_and_no_more_than_one_map_may_have() -> None:
    points = np.array([(10, 10), (20, 20), (30, 30)], np.float32)
    peaks = Peaks(points, np.zeros(3, np.int64), np.array([0.95, 0.9, 1.0], np.float32))
    settings = replace(SETTINGS, peak_max_count=2)
    group = run_proposing(propose(peaks, (SIDE, SIDE), settings), SquareDecoder(), (64,)).prompts[1]
    np.testing.assert_array_equal(group.coords[0], points[[0, 2]])


def test_no_prompt_is_spent_on_a_point_that_a_good_mask_covers() -> None:
    good = run_proposing(propose(peaks_at(), (SIDE, SIDE), SETTINGS), SquareDecoder(half_px=9), (64,))
    poor = run_proposing(propose(peaks_at(), (SIDE, SIDE), SETTINGS), SquareDecoder(half_px=9, iou=0.6), (64,))
    # Each of the four coarse masks, 18 px wide, covers the four fine points around its centre.
    assert sum(map(len, good.prompts)) == 4
    assert sum(map(len, poor.prompts)) == 4 + 16


@pytest.mark.parametrize("max_prompts", [1, 7, 40, 64])
def test_peaks_groups_and_grid_together_stay_within_the_budget(max_prompts: int) -> None:
    rows = [(float(x), float(label), label) for label in range(31) for x in range(25)]
    settings = replace(SETTINGS, max_prompts=max_prompts)
    found = run_proposing(propose(peaks_at(*rows), (SIDE, SIDE), settings), SquareDecoder(), (64,))
    assert sum(map(len, found.prompts)) == max_prompts


def test_a_small_budget_takes_the_highest_peak_of_each_label_first() -> None:
    peaks = peaks_at((1, 0, 0), (2, 0, 0), (3, 0, 0), (4, 0, 1), (5, 0, 2), (6, 0, 2))
    peaks = replace(peaks, values=np.array([0.97, 0.99, 0.98, 0.91, 0.92, 0.93], np.float32))
    settings = replace(SETTINGS, max_prompts=6)
    found = run_proposing(propose(peaks, (SIDE, SIDE), settings), SquareDecoder(), (64,))
    # Two labels have a group. Of the four points left, three are the highest of a label.
    assert found.prompts[0].coords[:, 0, 0].tolist() == [2, 3, 4, 6]
    assert [batch.labels.shape for batch in found.prompts[1:]] == [(1, 3), (1, 2)]


def test_a_mask_of_most_of_the_picture_spares_no_prompt() -> None:
    picture = run_proposing(propose(peaks_at(), (SIDE, SIDE), SETTINGS), SquareDecoder(half_px=30), (64,))
    assert sum(map(len, picture.prompts)) == 20


def test_boxes_are_asked_before_the_grid_and_within_the_budget() -> None:
    boxes_xyxy = np.array([[4, 4, 20, 20], [30, 30, 50, 60], [0, 0, 9, 9]], np.float32)
    peaks = peaks_at((8, 8, 0))
    found = run_proposing(
        propose(peaks, (SIDE, SIDE), replace(SETTINGS, max_prompts=3), None, boxes_xyxy), SquareDecoder(), (16,)
    )
    assert [batch.labels[0].tolist() for batch in found.prompts] == [[1, PADDING], [2, 3]]
    assert found.prompts[1].coords.reshape(-1, 4).tolist() == boxes_xyxy[:2].tolist()
    assert found.prompt_count == 3


def test_max_prompts_bounds_the_grid() -> None:
    settings = replace(SETTINGS, max_prompts=7)
    picture = run_proposing(propose(peaks_at(), (SIDE, SIDE), settings), SquareDecoder(iou=0.6), (64,))
    assert sum(map(len, picture.prompts)) == 7


def test_a_bounded_grid_still_reaches_the_foot_of_the_picture() -> None:
    settings = replace(SETTINGS, max_prompts=9)
    picture = run_proposing(propose(peaks_at(), (SIDE, SIDE), settings), SquareDecoder(iou=0.6), (64,))
    coarse, fine = (batch.coords[:, 0] for batch in picture.prompts)
    assert (len(coarse), len(fine)) == (4, 5)
    assert set(fine[:, 1]) == set(grid_points(4, (SIDE, SIDE))[:, 1]), "every row of the fine grid is asked"


def focused(iou: float, max_prompts: int = 64, cover_max_area_share: float = 0.25) -> Float32:
    """Points x, y of the rounds after the one peak at (32, 32), whose small mask is 24 px wide."""
    settings = replace(
        SETTINGS,
        grid_sides=(),
        focus_side=16,
        focus_min_iou=0.6,
        cover_min_iou=0.9,
        max_prompts=max_prompts,
        cover_max_area_share=cover_max_area_share,
    )
    decoder = SquareDecoder(half_px=12, iou=iou)
    picture = run_proposing(propose(peaks_at((32, 32, 0)), (SIDE, SIDE), settings), decoder, (64,))
    return np.concatenate([np.zeros((0, 2), np.float32), *(batch.coords[:, 0] for batch in picture.prompts[1:])])


def test_the_finest_grid_is_asked_inside_promising_masks_alone() -> None:
    points = focused(0.8)
    assert len(points) == 36, "the mask is six cells of 4 px wide and high"
    assert (np.abs(points - 32) < 12).all()
    assert len(focused(0.5)) == 0, "nothing promising"
    assert len(focused(0.95)) == 0, "a good mask is not looked at again"
    assert len(focused(0.8, cover_max_area_share=0.1)) == 0, "most of the picture is no thing"


def test_the_middle_of_a_promising_mask_comes_first() -> None:
    points = focused(0.8, max_prompts=5)
    assert sorted(map(tuple, points.tolist())) == [(30, 30), (30, 34), (34, 30), (34, 34)]


def test_promising_masks_take_turns() -> None:
    settings = replace(SETTINGS, grid_sides=(), focus_side=16, focus_min_iou=0.6, max_prompts=8)
    peaks = peaks_at((16, 16, 0), (48, 48, 1))
    picture = run_proposing(propose(peaks, (SIDE, SIDE), settings), SquareDecoder(half_px=6, iou=0.7), (64,))
    near = picture.prompts[-1].coords[:, 0]
    assert len(near) == 6
    assert (near < 32).all(axis=1).sum() == (near > 32).all(axis=1).sum() == 3


def test_poor_masks_of_the_grid_are_dropped_but_those_of_peaks_stay() -> None:
    picture = run_proposing(propose(peaks_at((10, 10, 0)), (SIDE, SIDE), SETTINGS), SquareDecoder(iou=0.3), (64,))
    assert len(picture.proposals) == 2
    assert picture.proposals.from_peak.all()


def test_near_duplicates_go_the_better_one_stays_and_the_count_is_bounded() -> None:
    settings = replace(SETTINGS, max_proposals=3, grid_min_iou=0.0)
    picture = run_proposing(
        propose(peaks_at((10, 10, 0), (10.2, 10, 0)), (SIDE, SIDE), settings), SquareDecoder(), (64,)
    )
    assert len(picture.proposals) == 3
    assert (np.diff(picture.proposals.predicted_iou) <= 0).all()
    first = prompt_of(picture.prompts, int(picture.proposals.prompts[0]))
    assert first.coords[0, 0].tolist() in ([10, 10], *grid_points(2, (SIDE, SIDE)).tolist())


def test_no_peaks_and_no_grid_give_no_proposals() -> None:
    settings = replace(SETTINGS, grid_sides=())
    picture = run_proposing(propose(peaks_at(), (SIDE, SIDE), settings), SquareDecoder(), (64,))
    assert len(picture.proposals) == 0
    assert picture.prompts == ()


def test_prompt_of_finds_prompts_across_batches() -> None:
    asked = [point_prompts(np.zeros((2, 2), np.float32)), point_prompts(np.ones((1, 2), np.float32))]
    assert prompt_of(asked, 2).coords[0, 0].tolist() == [1, 1]
    with pytest.raises(ValueError, match="past the last"):
        prompt_of(asked, 3)
