"""What lies in the pavement and is no object: joints, cracks, painted lines, stains, wet patches, tyre marks, pits."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from training.scenes.drawing.noise import Floats, sample_noise


def add_ground_marks(rng: np.random.Generator, ground_hwc: Floats) -> None:
    """Draw a random few of the marks onto `ground_hwc` (float32 [H,W,3], 0..1), in place."""
    for share, add in _MARKS:
        if rng.random() < share:
            add(rng, ground_hwc)


def _joints(rng: np.random.Generator, ground: Floats) -> None:
    angle, width_px = rng.uniform(0, np.pi), rng.uniform(1.0, 5.0)
    canvas = np.zeros(ground.shape[:2], np.uint8)
    for turn in (0.0, np.pi / 2)[: int(rng.integers(1, 3))]:
        _line(canvas, _random_point(rng, canvas), angle + turn, width_px)
    _darken(ground, canvas, rng.uniform(0.2, 0.6))


def _cracks(rng: np.random.Generator, ground: Floats) -> None:
    canvas = np.zeros(ground.shape[:2], np.uint8)
    for _ in range(int(rng.integers(1, 4))):
        headings = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.35, 40))
        steps = rng.uniform(2.0, 8.0) * np.stack([np.cos(headings), np.sin(headings)], axis=1)
        path = np.cumsum(steps, axis=0) + _random_point(rng, canvas)
        _polyline(canvas, path, int(rng.integers(1, 3)))
    _darken(ground, canvas, rng.uniform(0.15, 0.6))


def _painted_line(rng: np.random.Generator, ground: Floats) -> None:
    canvas = np.zeros(ground.shape[:2], np.uint8)
    _line(canvas, _random_point(rng, canvas), rng.uniform(0, np.pi), rng.uniform(0.05, 0.3) * min(canvas.shape))
    worn = np.clip(0.85 + 0.35 * sample_noise(rng, (ground.shape[0], ground.shape[1]), "rough"), 0.0, 1.0)
    coverage = canvas.astype(np.float32) / 255.0 * worn * np.float32(rng.uniform(0.5, 0.95))
    paint = _PAINTS[int(rng.integers(len(_PAINTS)))] * np.float32(rng.uniform(0.7, 1.0))
    ground += coverage[..., None] * (paint - ground)


def _stains(rng: np.random.Generator, ground: Floats) -> None:
    """A threshold through cloud noise: soft-edged patches of any form."""
    size_hw = (ground.shape[0], ground.shape[1])
    # zoomed with the picture: a stain must not show the noise tile's period
    cloud = sample_noise(rng, size_hw, "cloud", zoom=rng.uniform(0.65, 1.5) * max(size_hw) / 320)
    cloud += np.float32(0.15) * sample_noise(rng, size_hw, "rough")
    sharpness = rng.uniform(1.0, 8.0)
    patch = np.clip((cloud - np.float32(rng.uniform(0.3, 1.5))) * np.float32(sharpness), 0.0, 1.0)
    tint = rng.uniform(0.5, 0.95) * np.array([1.0, rng.uniform(0.88, 1.0), rng.uniform(0.7, 1.0)])
    if rng.random() < 0.2:
        tint = np.full(3, rng.uniform(1.05, 1.4))
    ground *= 1.0 + patch[..., None] * (tint.astype(np.float32) - 1.0)


def _wet(rng: np.random.Generator, ground: Floats) -> None:
    """Wet pavement is darker and, where it mirrors the sky, flat and bright."""
    size_hw = (ground.shape[0], ground.shape[1])
    cloud = sample_noise(rng, size_hw, "cloud", zoom=rng.uniform(0.65, 1.6) * max(size_hw) / 320)
    patch = np.clip(cloud * 3.0, 0.0, 1.0)[..., None]
    ground *= 1.0 - patch * np.float32(rng.uniform(0.2, 0.5))
    mirror = np.clip(sample_noise(rng, size_hw, "cloud", zoom=1.5) - 0.8, 0.0, 1.0)[..., None] * patch
    ground += mirror * np.float32(rng.uniform(0.1, 0.5)) * (1.0 - ground)


def _tyre_marks(rng: np.random.Generator, ground: Floats) -> None:
    canvas = np.zeros(ground.shape[:2], np.uint8)
    angle, width_px = rng.uniform(0, np.pi), rng.uniform(0.04, 0.15) * min(canvas.shape)
    for _ in range(int(rng.integers(1, 4))):
        _line(canvas, _random_point(rng, canvas), angle + rng.normal(0, 0.05), width_px)
    soft = cv2.GaussianBlur(canvas, (0, 0), max(1.0, width_px / 6)).astype(np.uint8, copy=False)
    _darken(ground, soft, rng.uniform(0.1, 0.4))


def _pits(rng: np.random.Generator, ground: Floats) -> None:
    """Small dark holes and light grit of a few pixels, which a segmenter should not take for debris too eagerly."""
    canvas = np.zeros(ground.shape[:2], np.uint8)
    for _ in range(int(rng.integers(3, 40))):
        centre = tuple(int(v) for v in _random_point(rng, canvas))
        axes = (int(rng.integers(0, 3)), int(rng.integers(0, 3)))
        cv2.ellipse(canvas, centre, axes, float(rng.uniform(0, 180)), 0, 360, int(rng.integers(60, 255)), -1)
    _darken(ground, canvas, rng.choice([-0.25, 0.25, 0.5]))


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


def _random_point(rng: np.random.Generator, canvas: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    height, width = canvas.shape[:2]
    return rng.uniform(0, 1, 2) * (width, height)


def _line(canvas: npt.NDArray[np.uint8], point: npt.NDArray[np.float64], angle: float, width_px: float) -> None:
    reach = 2.0 * max(canvas.shape) * np.array([np.cos(angle), np.sin(angle)])
    _polyline(canvas, np.stack([point - reach, point + reach]), max(1, round(width_px)))


def _polyline(canvas: npt.NDArray[np.uint8], path_xy: npt.NDArray[np.float64], width_px: int) -> None:
    fixed_point = np.round(path_xy * 8).astype(np.int32)
    cv2.polylines(canvas, [fixed_point], False, 255, width_px, cv2.LINE_AA, shift=3)


def _darken(ground: Floats, canvas: npt.NDArray[np.uint8], strength: float) -> None:
    ground *= 1.0 - canvas.astype(np.float32)[..., None] * np.float32(strength / 255.0)
