"""Masks as polygons, and back.

A polygon's coordinates are pixels of the image: pixel (row i, column j) covers x in [j, j+1] and y in [i, i+1].
Corners are whole numbers. Which pixels a slanted edge leaves inside is decided as pycocotools decides it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from weaksam.arrays import Mask

Ring = npt.NDArray[np.int64]
Edges = dict[tuple[int, int, int], int]

# Tolerances that are tried, in pixels.
TOLERANCES_PX = tuple(0.5 * 1.25**step for step in range(24))
DISTANCES_AT_A_TIME = 2**20  # of corners of two rings: those of a large photograph have 10 000 each


@dataclass(frozen=True)
class Polygons:
    """A mask as polygons.

    Attributes:
        rings_xy: for each part of the mask one ring [N,2], N >= 3, not closed; a bridge of no width leads to each hole.
        fidelity_iou: IoU of the polygons with the mask.
    """

    rings_xy: tuple[Ring, ...]
    fidelity_iou: float


def mask_to_polygons(mask_hw: Mask, min_fidelity: float = 1.0) -> Polygons:
    """Return all parts and holes of a mask [H,W], at the coarsest tolerance that keeps the wanted IoU.

    Tolerances are those of Douglas and Peucker (1973). Parts that touch at a corner alone are parts of their own.

    Args:
        mask_hw: the mask; an empty one has no polygons.
        min_fidelity: smallest IoU with the mask; 1 loses no pixel.
    """
    if not mask_hw.any():
        return Polygons((), 1.0)
    rows, columns = np.flatnonzero(mask_hw.any(axis=1)), np.flatnonzero(mask_hw.any(axis=0))
    crop_hw = mask_hw[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    parts = _parts(crop_hw)
    best = Polygons(_rings(parts, 0.0), 1.0)
    # Programs read slanted edges in different ways: nothing is simplified if no pixel may be lost.
    low, high = 0, len(TOLERANCES_PX) if min_fidelity < 1 else 0
    while low < high:
        middle = (low + high) // 2
        rings = _rings(parts, TOLERANCES_PX[middle])
        tried = Polygons(rings, mask_iou(polygons_to_mask(rings, crop_hw.shape), crop_hw))
        if tried.fidelity_iou >= min_fidelity:
            best, low = min(best, tried, key=_corner_count), middle + 1
        else:
            high = middle
    corner_xy = np.array([columns[0], rows[0]])
    return Polygons(tuple(np.add(ring, corner_xy) for ring in best.rings_xy), best.fidelity_iou)


def polygons_to_mask(rings_xy: Sequence[npt.NDArray[np.number]], size_hw: tuple[int, ...]) -> Mask:
    """Return the mask [H,W] of all pixels that lie in any of the rings, each by the even-odd rule."""
    if not rings_xy:
        return np.zeros(size_hw, np.bool_)
    height, width = size_hw
    flat = [np.asarray(ring, np.float64).ravel().tolist() for ring in rings_xy]
    rle = coco_mask.merge(coco_mask.frPyObjects(flat, height, width))
    return np.ascontiguousarray(coco_mask.decode(rle).astype(np.bool_))


def _corner_count(polygons: Polygons) -> int:
    return sum(map(len, polygons.rings_xy))


def mask_iou(first_hw: Mask, second_hw: Mask) -> float:
    """Return the intersection over union of two masks of one size; 0 if both are empty."""
    union = np.count_nonzero(first_hw | second_hw)
    return np.count_nonzero(first_hw & second_hw) / union if union else 0.0


def _rings(parts: Sequence[Sequence[Ring]], tolerance_px: float) -> tuple[Ring, ...]:
    return tuple(join_rings([_simplified(ring, tolerance_px) for ring in part]) for part in parts)


def _simplified(ring: Ring, tolerance_px: float) -> Ring:
    """Return fewer corners, at least three; of a ring that is thinner than the tolerance, those of its box."""
    if tolerance_px == 0:
        return ring
    simple = cv2.approxPolyDP(ring.astype(np.int32)[:, None], tolerance_px, closed=True)[:, 0].astype(np.int64)
    if len(simple) >= 3:
        return simple
    (x0, y0), (x1, y1) = ring.min(axis=0), ring.max(axis=0)
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])


def join_rings(rings: Sequence[Ring]) -> Ring:
    """Return one ring: each further one is joined to those before, there and back, between the closest corners."""
    joined, *others = rings
    for ring in others:
        near, start = _closest_corners(joined, ring)
        joined = np.concatenate([joined[: near + 1], ring[start:], ring[: start + 1], joined[near:]])
    return joined


def _closest_corners(first: Ring, second: Ring) -> tuple[int, int]:
    """Return the places of the two corners that are closest, by steps along the axes; the first such pair."""

    def closest_from(begin: int, rows: int) -> tuple[int, int, int]:
        x, y = first[begin : begin + rows].T[:, :, None]
        distances = np.abs(x - second[:, 0]) + np.abs(y - second[:, 1])
        row, start = divmod(int(distances.argmin()), len(second))
        return int(distances[row, start]), begin + row, start

    rows = max(1, DISTANCES_AT_A_TIME // len(second))
    _, near, start = min(closest_from(begin, rows) for begin in range(0, len(first), rows))
    return near, start


def _parts(mask_hw: Mask) -> list[list[Ring]]:
    """Return each 4-connected part of a mask: its outer ring, then those of its holes."""
    _, part_of_pixel = cv2.connectedComponents(mask_hw.astype(np.uint8), connectivity=4)
    outer: dict[int, Ring] = {}
    holes: dict[int, list[Ring]] = defaultdict(list)
    for ring, (row, column) in _boundaries(mask_hw):
        part = int(part_of_pixel[row, column])
        if _is_outer(ring):
            outer[part] = ring
        else:
            holes[part].append(ring)
    return [[ring, *holes[part]] for part, ring in outer.items()]


def _is_outer(ring: Ring) -> bool:
    (x, y), (next_x, next_y) = ring.T, np.roll(ring, -1, axis=0).T
    return bool((x * next_y - next_x * y).sum() > 0)


def _boundaries(mask_hw: Mask) -> Iterator[tuple[Ring, tuple[int, int]]]:
    """Yield the corners of each closed boundary, and a pixel (row, column) of the mask that lies at it.

    The mask lies to the right of the way: outer boundaries run clockwise on the screen, holes the other way. At a
    corner that two pixels share the way turns right, so that it stays with its pixel.
    """
    across, down = _edges(mask_hw)
    while across:
        start = key = next(iter(across))
        corners: list[tuple[int, int]] = []
        while not corners or key != start:
            (x, y, step), end_x = key, across.pop(key)
            corners += [(x, y), (end_x, y)]
            turn = (end_x, y, step)
            end_y, step = _pop(down, turn if turn in down else (end_x, y, -step))
            turn = (end_x, end_y, -step)
            key = turn if turn in across or turn == start else (end_x, end_y, step)
        x, y, step = start
        yield np.array(corners), (y, x) if step > 0 else (y - 1, x - 1)


def _pop(edges: Edges, key: tuple[int, int, int]) -> tuple[int, int]:
    return edges.pop(key), key[2]


def _edges(mask_hw: Mask) -> tuple[Edges, Edges]:
    """Return the straight edges across and down, from (x, y, step of 1 or -1) to the x or y of the other end."""
    across = {
        (first, y, 1) if enters else (end, y, -1): end if enters else first for y, first, end, enters in _runs(mask_hw)
    }
    down = {
        (x, end, -1) if enters else (x, first, 1): first if enters else end
        for x, first, end, enters in _runs(mask_hw.T)
    }
    return across, down


def _runs(mask_hw: Mask) -> Iterator[tuple[int, int, int, bool]]:
    """Yield each run of pixels at whose upper side the mask begins (True), or ended (False): row, first, end, which."""
    change = np.diff(np.pad(mask_hw.astype(np.int8), ((1, 1), (0, 0))), axis=0)
    for sign in (1, -1):
        run = np.diff(np.pad((change == sign).astype(np.int8), ((0, 0), (1, 1))), axis=1)
        for (row, first), (_, end) in zip(np.argwhere(run == 1).tolist(), np.argwhere(run == -1).tolist(), strict=True):
            yield row, first, end, sign > 0
