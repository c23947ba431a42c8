"""Peaks of activation maps of all three kinds, on constructed maps."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest

from models.prompting.peaks import Peak, Peaks, find_peaks, merge_peaks
from models.settings import PromptSettings


def bump(maps: np.ndarray, label: int, row: int, column: int, height: float) -> None:
    maps[0, label, row, column] = height


def test_peaks_are_local_maxima_of_the_asked_classes_strongest_first() -> None:
    maps = np.zeros((1, 3, 40, 40), np.float32)
    for label, row, column, height in [(0, 5, 7, 10.0), (0, 30, 31, 9.5), (0, 20, 20, 5.0), (1, 2, 2, 8.0)]:
        bump(maps, label, row, column, height)
    found = find_peaks(maps, [0], 320, (320, 320), PromptSettings(), ["coarse"])
    assert found.points_xy.tolist() == [[60, 44], [252, 244]]
    assert found.labels.tolist() == [0, 0]
    assert found.values.tolist() == pytest.approx([1.0, 0.95])


def test_padding_has_no_peaks_and_no_say_in_normalisation() -> None:
    maps = np.zeros((1, 1, 40, 40), np.float32)
    bump(maps, 0, 10, 10, 1.0)
    bump(maps, 0, 39, 39, 100.0)
    found = find_peaks(maps, [0], 320, (160, 320), PromptSettings(), ["coarse"])
    assert found.points_xy.tolist() == [[84, 84]]


def test_a_flat_map_has_no_peaks() -> None:
    assert len(find_peaks(np.ones((1, 1, 40, 40), np.float32), [0], 320, (320, 320), PromptSettings(), ["coarse"])) == 0


def test_peaks_keep_their_distance_and_their_number() -> None:
    maps = np.zeros((1, 1, 40, 40), np.float32)
    maps[0, 0, ::4, ::4] = np.linspace(9.5, 10, 100).reshape(10, 10)
    found = find_peaks(maps, [0], 320, (320, 320), PromptSettings(), ["coarse"])
    assert len(found) == 25
    maps[:] = 0
    maps[0, 0, 10, 10:12] = 10
    assert len(find_peaks(maps, [0], 320, (320, 320), PromptSettings(peak_window_px=25), ["coarse"])) == 1


def blob(side: int, *centres_xy: tuple[float, float], spread: float = 2.0) -> np.ndarray:
    """A map [side,side] of equal Gaussian hills."""
    ys, xs = np.mgrid[:side, :side]
    hills = [np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * spread**2)) for x, y in centres_xy]
    highest: np.ndarray = np.max(hills, axis=0)
    return highest.astype(np.float32)


def only(maps_khw: list[np.ndarray], settings: PromptSettings, kinds: list[str]) -> Peaks:
    """Peaks of one class on an input of 320 pixels."""
    return find_peaks(np.stack(maps_khw)[:, None], [0], 320, (320, 320), settings, kinds)


def test_at_the_size_of_the_input_a_peak_is_finer_than_a_cell() -> None:
    # two neighbouring cells of 16 px, the right one lower: the summit lies between their middles, nearer the left one
    map_hw = np.zeros((20, 20), np.float32)
    map_hw[10, 10:12] = 10, 8
    coarse = only([map_hw], PromptSettings(), ["coarse"])
    fine = only([map_hw], PromptSettings(peak_grid="input"), ["coarse"])
    assert coarse.points_xy.tolist() == [[168, 168]]
    assert len(fine) == 1
    x, y = fine.points_xy[0]
    assert 169 < x < 176
    assert y == pytest.approx(168, abs=1)


def test_a_value_next_to_the_picture_has_no_say_in_the_enlarged_map() -> None:
    map_hw = np.zeros((20, 20), np.float32)
    map_hw[3, 4], map_hw[10] = 1, 100  # row 10 begins at pixel 160
    found = find_peaks(map_hw[None, None], [0], 320, (160, 320), PromptSettings(peak_grid="input"), ["coarse"])
    assert np.abs(found.points_xy - [[72, 56]]).max() <= 1


def test_the_window_is_in_pixels_of_the_input_whatever_the_map() -> None:
    # hills 32 px apart: two peaks for a window of 17, one for a window of 129
    map_hw = blob(20, (9, 10), (11, 10), spread=0.6)
    for grid in ("map", "input"):
        narrow = only([map_hw], PromptSettings(peak_grid=grid), ["fine"])
        wide = only([map_hw], PromptSettings(peak_grid=grid, peak_window_px=129), ["fine"])
        assert (len(narrow), len(wide)) == (2, 1)


def test_heads_of_cross_attention_have_a_window_of_their_own() -> None:
    map_hw = blob(20, (9, 10), (11, 10), spread=0.6)
    settings = PromptSettings(peak_grid="input")
    assert len(only([map_hw], settings, ["coarse"])) == 2
    assert len(only([map_hw], settings, ["cross_9_0"])) == 1


def test_peaks_of_heads_are_merged_to_a_fifth_as_many() -> None:
    # ten heads see two things, each one cell beside the next head's
    left = [blob(40, (5 + head % 2, 20)) for head in range(5)]
    right = [blob(40, (33, 20 + head % 2)) for head in range(5)]
    kinds = [f"cross_9_{head}" for head in range(10)]
    found = only([*left, *right], PromptSettings(), kinds)
    assert len(found) == 2
    # cells of 8 px, centres at 4: three heads at 5 and two at 6, three at 20 and two at 21
    assert sorted(map(tuple, found.points_xy.tolist())) == [
        pytest.approx((47.2, 164.0), abs=0.01),
        pytest.approx((268.0, 167.2), abs=0.01),
    ]
    assert found.labels.tolist() == [0, 0]


def test_peaks_of_heads_follow_those_of_the_other_maps() -> None:
    found = only(
        [blob(40, (30, 30)), blob(40, (5, 5)), blob(40, (10, 20))], PromptSettings(), ["cross_9_0", "coarse", "fine"]
    )
    assert found.points_xy.tolist() == [[44, 44], [84, 164], [244, 244]]


def test_classes_are_clustered_apart() -> None:
    maps = np.stack([np.stack([blob(40, (5, 5)), blob(40, (35, 35))])])  # one head, two classes
    found = find_peaks(maps, [0, 1], 320, (320, 320), PromptSettings(), ["cross_9_0"])
    assert found.labels.tolist() == [0, 1]
    assert found.points_xy.tolist() == [[44, 44], [284, 284]]


def test_a_cluster_has_the_value_of_its_strongest_peak_and_strong_ones_come_first() -> None:
    peaks = [Peak((10, 10), 0.92), Peak((12, 10), 0.95), Peak((200, 10), 0.99), Peak((202, 10), 0.91)]
    merged = merge_peaks(peaks, 0.5)
    assert [peak.point_xy for peak in merged] == [(201, 10), (11, 10)]
    assert [peak.value for peak in merged] == [0.99, 0.95]
    assert merge_peaks([], 0.2) == []
    assert merge_peaks(peaks[:1], 0.2) == [peaks[0]]


def test_clusters_do_not_depend_on_earlier_random_numbers_or_on_the_thread() -> None:
    points = np.random.default_rng(0).uniform(0, 320, (60, 2)).tolist()
    peaks = [Peak((x, y), 0.95) for x, y in points]
    expected = merge_peaks(peaks, 0.2)
    assert len(expected) == 12
    answers: list[list[Peak]] = []

    def merge() -> None:
        cv2.setRNGSeed(99)
        answers.append(merge_peaks(peaks, 0.2))

    threads = [threading.Thread(target=merge) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [expected] * 4
