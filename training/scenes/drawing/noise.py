"""Noise fields, cut from tiles that are computed once per process.

New noise of several octaves would cost more time than the whole image.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
NoiseKind = Literal["white", "fine", "grain", "rough", "cloud", "streak", "pebble"]

TILE_PX = 512
_TILE_SEED = 20_240_214  # fixed: an image depends on its own generator only, never on which process drew it


def sample_noise(rng: np.random.Generator, size_hw: tuple[int, int], kind: NoiseKind, zoom: float = 1.0) -> Floats:
    """Return a random cut of zero-mean, unit-variance noise, float32 [H,W]; `zoom` > 1 makes its grains larger."""
    height, width = size_hw
    cut_hw = (max(2, round(height / zoom)), max(2, round(width / zoom)))
    cut = _wrapped_cut(_doubled_tile(kind), cut_hw, rng.integers(0, TILE_PX, 2))
    if rng.random() < 0.5:
        cut = cut[::-1]
    if kind != "streak" and cut_hw[0] == cut_hw[1] and rng.random() < 0.5:
        cut = cut.T
    if cut.shape == size_hw:
        return np.ascontiguousarray(cut)
    return cv2.resize(cut, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32, copy=False)


def _wrapped_cut(tile: Floats, cut_hw: tuple[int, int], start_yx: npt.NDArray[np.int64]) -> Floats:
    (height, width), (top, left) = cut_hw, start_yx
    if max(height, width) <= TILE_PX:
        return tile[top : top + height, left : left + width]
    rows = (top + np.arange(height)) % TILE_PX
    columns = (left + np.arange(width)) % TILE_PX
    return np.asarray(tile[rows[:, None], columns[None, :]], dtype=np.float32)


@cache
def _doubled_tile(kind: NoiseKind) -> Floats:
    """Return the tile repeated 2x2: most cuts are then views and need no gathering across its border."""
    return np.tile(_tile(kind), (2, 2))


def _tile(kind: NoiseKind) -> Floats:
    rng = np.random.default_rng([_TILE_SEED, sum(map(ord, kind))])
    if kind == "pebble":
        return _standardised(_pebbles(rng))
    white = rng.standard_normal((TILE_PX, TILE_PX)).astype(np.float32)
    if kind == "white":
        return _standardised(white)
    if kind == "streak":
        return _standardised(_periodic_blur(white, 0.6, 25.0) + 0.7 * _periodic_blur(white.T, 1.6, 60.0))
    if kind in ("fine", "grain"):
        sigma = 0.7 if kind == "fine" else 1.6
        return _standardised(_periodic_blur(white, sigma, sigma))
    return _standardised(_power_law(white, 1.1 if kind == "rough" else 1.9))


def _standardised(field: Floats) -> Floats:
    scaled = (field - field.mean()) / field.std()
    return np.asarray(np.clip(scaled, -3.0, 3.0), dtype=np.float32)


def _periodic_blur(field: Floats, sigma_y: float, sigma_x: float) -> Floats:
    margin = int(4 * max(sigma_y, sigma_x)) + 1
    padded = cv2.copyMakeBorder(field, margin, margin, margin, margin, cv2.BORDER_WRAP)
    blurred = cv2.GaussianBlur(padded, (0, 0), sigmaX=sigma_x, sigmaY=sigma_y)
    return np.asarray(blurred[margin:-margin, margin:-margin], dtype=np.float32)


def _power_law(white: Floats, exponent: float) -> Floats:
    """Filter white noise to a 1/f^exponent amplitude spectrum: all octaves at once, and periodic."""
    frequency = np.hypot(np.fft.fftfreq(TILE_PX)[:, None], np.fft.rfftfreq(TILE_PX)[None, :])
    frequency[0, 0] = 1.0
    spectrum = np.fft.rfft2(white) / frequency**exponent
    spectrum[0, 0] = 0.0
    return np.fft.irfft2(spectrum, s=white.shape).astype(np.float32)


def _pebbles(rng: np.random.Generator) -> Floats:
    """Return Voronoi cells, each with its own brightness and a dark rim, as in washed concrete or gravel."""
    seeds = (rng.random((TILE_PX, TILE_PX)) < 1 / 36).astype(np.uint8)
    brightness = rng.random((TILE_PX, TILE_PX)).astype(np.float32)
    margin = 32
    padded = cv2.copyMakeBorder(1 - seeds, margin, margin, margin, margin, cv2.BORDER_WRAP)
    distance, cell = cv2.distanceTransformWithLabels(padded, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    seed_y, seed_x = np.nonzero(padded == 0)
    lookup = np.zeros(int(cell.max()) + 1, np.float32)
    lookup[cell[seed_y, seed_x]] = brightness[(seed_y - margin) % TILE_PX, (seed_x - margin) % TILE_PX]
    shaded = lookup[cell] - 0.05 * distance**1.5
    return np.asarray(cv2.GaussianBlur(shaded, (0, 0), 0.6)[margin:-margin, margin:-margin], dtype=np.float32)
