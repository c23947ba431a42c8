"""Which parts and holes of a mask go, and which stay."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from models.letterbox import Letterbox
from models.masks.levels import Look, levels_of
from models.masks.specks import without_specks
from models.prompting.prompts import PromptBatch

SIDE = 40
Cells = tuple[slice, slice]
THING: Cells = np.s_[5:35, 5:25]  # 600 cells
HOLE: Cells = np.s_[10:14, 8:12]  # 16 of them, less than 3 %
LARGE_HOLE: Cells = np.s_[20:25, 8:12]  # 20
SPECK: Cells = np.s_[5:9, 30:36]  # 24, less than 5 % of 600
SECOND_PART: Cells = np.s_[20:28, 30:34]  # 32
NOTCH: Cells = np.s_[0:2, 0:2]  # at the edge: no hole


def logits_of(*inside: Cells, outside: tuple[Cells, ...] = ()) -> npt.NDArray[np.float16]:
    logits_hw = np.full((SIDE, SIDE), -5, np.float16)
    for cells in inside:
        logits_hw[cells] = 5
    for cells in outside:
        logits_hw[cells] = -5
    return logits_hw


def points(*cells: Cells) -> npt.NDArray[np.float32]:
    """Return the centres of rectangles, x and y."""
    return np.array([((x.start + x.stop) / 2, (y.start + y.stop) / 2) for y, x in cells], np.float32).reshape(-1, 2)


def test_small_parts_and_holes_go_and_larger_ones_stay() -> None:
    drawn = logits_of(THING, SPECK, SECOND_PART, outside=(HOLE, LARGE_HOLE))
    wanted = logits_of(THING, SECOND_PART, outside=(LARGE_HOLE,))
    assert np.array_equal(without_specks(drawn) > 0, wanted > 0)


def test_what_is_clicked_stays() -> None:
    drawn = logits_of(THING, SPECK, outside=(HOLE,))
    assert np.array_equal(without_specks(drawn, on_xy=points(SPECK), off_xy=points(HOLE)), drawn)


def test_a_click_beside_the_object_keeps_no_speck_and_one_on_it_no_hole() -> None:
    drawn = logits_of(THING, SPECK, outside=(HOLE,))
    cleaned = without_specks(drawn, on_xy=points(HOLE), off_xy=points(SPECK))
    assert np.array_equal(cleaned > 0, logits_of(THING) > 0)


def test_the_edge_of_the_image_closes_no_hole() -> None:
    drawn = logits_of(np.s_[0:40, 0:40], outside=(NOTCH,))
    assert np.array_equal(without_specks(drawn), drawn)


@pytest.mark.parametrize("drawn", [logits_of(), logits_of(np.s_[0:SIDE, 0:SIDE])], ids=["empty", "full"])
def test_nothing_to_remove(drawn: npt.NDArray[np.float16]) -> None:
    assert np.array_equal(without_specks(drawn), drawn)
    outside = np.array([[-3, 200]], np.float32)
    assert np.array_equal(without_specks(drawn, outside, outside), drawn)


@pytest.mark.parametrize("colour_weight", [0.0, 0.7])
def test_a_level_is_drawn_without_them_but_for_those_of_its_prompt(colour_weight: float) -> None:
    """The prompt is in pixels of an input of 80 px, whose cells are two pixels wide; the image has 160 px."""
    look = Look(Letterbox((160, 160), 80), np.zeros((80, 80, 3), np.uint8), colour_weight)
    drawn = logits_of(THING, SPECK, outside=(HOLE,))
    coords = 2 * np.stack([points(SPECK), points(HOLE), points(THING)], axis=1)
    for labels, kept in (([1, 0, -1], True), ([0, 1, -1], False), ([2, 3, -1], False)):
        prompt = PromptBatch(coords, np.array([labels], np.float32))
        [level] = levels_of(drawn[None], np.array([0.5], np.float32), look, prompt)
        mask_hw = level.draw()
        for (x, y), is_inside in ((points(SPECK)[0], kept), (points(HOLE)[0], not kept), (points(THING)[0], True)):
            assert mask_hw[round(4 * y), round(4 * x)] == is_inside


@pytest.mark.parametrize(("height", "removed"), [(2, True), (3, True), (4, False)], ids=["2.7 %", "4 %", "5.3 %"])
def test_the_area_of_a_part_is_that_of_its_cells(height: int, removed: bool) -> None:
    """A ring of 300 cells around a hole, and a block of four columns below it."""
    thing: Cells = np.s_[5:25, 5:25]
    large_hole: Cells = np.s_[10:20, 10:20]
    block: Cells = np.s_[30 : 30 + height, 5:9]
    drawn = logits_of(thing, block, outside=(large_hole,))
    kept = logits_of(thing, *(() if removed else (block,)), outside=(large_hole,))
    assert np.array_equal(without_specks(drawn) > 0, kept > 0)
