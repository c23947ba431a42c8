"""Marks of the background that are no objects: joints, cracks, paint, stains, wet patches, tyre marks, pits."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from training.scenes.drawing.noise import Floats, sample_noise


def add_background_marks(rng: np.random.Generator, background_hwc: Floats) -> None:
    """Draw a random few of the marks onto `background_hwc` (float32 [H,W,3], 0..1), in place."""
    for share, add in _MARKS:
        if rng.random() < share:
            add(rng, background_hwc)


def _joints(rng: np.random.Generator, background: Floats) -> None:
    angle, width_px = rng.uniform(0, np.pi), rng.uniform(1.0, 5.0)
    mark = np.zeros(background.shape[:2], np.uint8)
    for turn in (0.0, np.pi / 2)[: int(rng.integers(1, 3))]:
        _line(mark, _random_point(rng, mark), angle + turn, width_px)
    _darken(background, mark, rng.uniform(0.2, 0.6))


def _cracks(rng: np.random.Generator, background: Floats) -> None:
    mark = np.zeros(background.shape[:2], np.uint8)
    for _ in range(int(rng.integers(1, 4))):
        headings = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.35, 40))
        steps = rng.uniform(2.0, 8.0) * np.stack([np.cos(headings), np.sin(headings)], axis=1)
        path = np.cumsum(steps, axis=0) + _random_point(rng, mark)
        _polyline(mark, path, int(rng.integers(1, 3)))
    _darken(background, mark, rng.uniform(0.15, 0.6))


def _painted_line(rng: np.random.Generator, background: Floats) -> None:
    mark = np.zeros(background.shape[:2], np.uint8)
    _line(mark, _random_point(rng, mark), rng.uniform(0, np.pi), rng.uniform(0.05, 0.3) * min(mark.shape))
    worn = np.clip(0.85 + 0.35 * sample_noise(rng, (background.shape[0], background.shape[1]), "rough"), 0.0, 1.0)
    coverage = mark.astype(np.float32) / 255.0 * worn * np.float32(rng.uniform(0.5, 0.95))
    paint = _PAINTS[int(rng.integers(len(_PAINTS)))] * np.float32(rng.uniform(0.7, 1.0))
    background += coverage[..., None] * (paint - background)


def _stains(rng: np.random.Generator, background: Floats) -> None:
    """Add soft-edged patches of any shape: a threshold through cloud noise."""
    size_hw = (background.shape[0], background.shape[1])
    # zoomed with the mark: a stain must not show the noise tile's period
    cloud = sample_noise(rng, size_hw, "cloud", zoom=rng.uniform(0.65, 1.5) * max(size_hw) / 320)
    cloud += np.float32(0.15) * sample_noise(rng, size_hw, "rough")
    sharpness = rng.uniform(1.0, 8.0)
    patch = np.clip((cloud - np.float32(rng.uniform(0.3, 1.5))) * np.float32(sharpness), 0.0, 1.0)
    tint = rng.uniform(0.5, 0.95) * np.array([1.0, rng.uniform(0.88, 1.0), rng.uniform(0.7, 1.0)])
    if rng.random() < 0.2:
        tint = np.full(3, rng.uniform(1.05, 1.4))
    background *= 1.0 + patch[..., None] * (tint.astype(np.float32) - 1.0)


def _wet(rng: np.random.Generator, background: Floats) -> None:
    """Add wet patches: darker, and flat and bright where they mirror the sky."""
    size_hw = (background.shape[0], background.shape[1])
    cloud = sample_noise(rng, size_hw, "cloud", zoom=rng.uniform(0.65, 1.6) * max(size_hw) / 320)
    patch = np.clip(cloud * 3.0, 0.0, 1.0)[..., None]
    background *= 1.0 - patch * np.float32(rng.uniform(0.2, 0.5))
    mirror = np.clip(sample_noise(rng, size_hw, "cloud", zoom=1.5) - 0.8, 0.0, 1.0)[..., None] * patch
    background += mirror * np.float32(rng.uniform(0.1, 0.5)) * (1.0 - background)


def _tyre_marks(rng: np.random.Generator, background: Floats) -> None:
    mark = np.zeros(background.shape[:2], np.uint8)
    angle, width_px = rng.uniform(0, np.pi), rng.uniform(0.04, 0.15) * min(mark.shape)
    for _ in range(int(rng.integers(1, 4))):
        _line(mark, _random_point(rng, mark), angle + rng.normal(0, 0.05), width_px)
    soft = cv2.GaussianBlur(mark, (0, 0), max(1.0, width_px / 6)).astype(np.uint8, copy=False)
    _darken(background, soft, rng.uniform(0.1, 0.4))


def _pits(rng: np.random.Generator, background: Floats) -> None:
    """Add small dark holes and light grit of a few pixels, which a segmenter should not take for debris."""
    mark = np.zeros(background.shape[:2], np.uint8)
    for _ in range(int(rng.integers(3, 40))):
        centre = tuple(int(v) for v in _random_point(rng, mark))
        axes = (int(rng.integers(0, 3)), int(rng.integers(0, 3)))
        cv2.ellipse(mark, centre, axes, float(rng.uniform(0, 180)), 0, 360, int(rng.integers(60, 255)), -1)
    _darken(background, mark, rng.choice([-0.25, 0.25, 0.5]))


_MARKS = (
    (0.18, _joints),
    (0.18, _cracks),
    (0.12, _painted_line),
    (0.35, _stains),
    (0.08, _wet),
    (0.12, _tyre_marks),
    (0.45, _pits),
)
_PAINTS = np.array([[0.95, 0.95, 0.92], [0.95, 0.78, 0.15], [0.8, 0.15, 0.12], [0.15, 0.15, 0.17]], np.float32)


def _random_point(rng: np.random.Generator, mark: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    height, width = mark.shape[:2]
    return rng.uniform(0, 1, 2) * (width, height)


def _line(mark: npt.NDArray[np.uint8], point: npt.NDArray[np.float64], angle: float, width_px: float) -> None:
    reach = 2.0 * max(mark.shape) * np.array([np.cos(angle), np.sin(angle)])
    _polyline(mark, np.stack([point - reach, point + reach]), max(1, round(width_px)))


def _polyline(mark: npt.NDArray[np.uint8], path_xy: npt.NDArray[np.float64], width_px: int) -> None:
    fixed_point = np.round(path_xy * 8).astype(np.int32)
    cv2.polylines(mark, [fixed_point], False, 255, width_px, cv2.LINE_AA, shift=3)


def _darken(background: Floats, mark: npt.NDArray[np.uint8], strength: float) -> None:
    background *= 1.0 - mark.astype(np.float32)[..., None] * np.float32(strength / 255.0)
