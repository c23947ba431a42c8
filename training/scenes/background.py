"""Procedural backgrounds: the pavements that debris lies on."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from training.scenes.background_marks import add_background_marks
from training.scenes.drawing.colour import scale_channels
from training.scenes.drawing.noise import Floats, NoiseKind, sample_noise

Colour = tuple[float, float, float]
Shares = tuple[float, ...]
Layers = dict[NoiseKind, float]
DrawColour = Callable[[np.random.Generator, float], Colour]

ANYTHING: Shares = (0.22, 0.26, 0.09, 0.12, 0.08, 0.06, 0.04, 0.07, 0.06)
AIRFIELD: Shares = (0.36, 0.36, 0.06, 0.1, 0.04, 0.02, 0.02, 0.04, 0.0)


def draw_background(rng: np.random.Generator, size_hw: tuple[int, int], shares: Shares = ANYTHING) -> Floats:
    """Return a background without objects: float32 [H,W,3], RGB in 0..1, evenly lit (`light.py` adds light).

    `shares` are the chances of the kinds in `PAVEMENTS`. `ANYTHING` varies as much as it can. `AIRFIELD` stays close to
    what aircraft roll on.
    """
    draw = PAVEMENTS[int(rng.choice(len(PAVEMENTS), p=shares))]
    background = draw(rng, size_hw)
    add_background_marks(rng, background)
    if rng.random() < 0.35:
        scale_channels(background, _colour_cast(rng))
    return np.clip(background, 0.0, 1.0, out=background)


def _asphalt(rng: np.random.Generator, size_hw: tuple[int, int]) -> Floats:
    return _pavement(rng, size_hw, (0.22, 0.6), {"pebble": 0.05, "fine": 0.08, "cloud": 0.03}, _greyish(0.02))


def _concrete(rng: np.random.Generator, size_hw: tuple[int, int]) -> Floats:
    layers: Layers = {"fine": 0.04, "grain": 0.03, "rough": 0.03, "cloud": 0.05}
    return _pavement(rng, size_hw, (0.42, 0.85), layers, _greyish(0.025))


def _plaster(rng: np.random.Generator, size_hw: tuple[int, int]) -> Floats:
    layers: Layers = {"grain": 0.02, "fine": 0.015, "cloud": 0.015}
    return _pavement(rng, size_hw, (0.7, 0.97), layers, _yellowish((0.94, 1.0), (0.8, 0.97)))


def _sandstone(rng: np.random.Generator, size_hw: tuple[int, int]) -> Floats:
    layers: Layers = {"grain": 0.06, "pebble": 0.05, "rough": 0.03}
    return _pavement(rng, size_hw, (0.45, 0.8), layers, _yellowish((0.68, 0.88), (0.45, 0.8)))


def _gravel(rng: np.random.Generator, size_hw: tuple[int, int]) -> Floats:
    level = rng.uniform(0.3, 0.65)
    stones = sample_noise(rng, size_hw, "pebble", zoom=rng.uniform(0.5, 2.5))
    field = stones * np.float32(rng.uniform(0.06, 0.15)) + sample_noise(rng, size_hw, "fine") * np.float32(0.04)
    background = _tinted(rng, field, _grey(rng, level, 0.08))
    # stones of one heap differ in hue as well as in brightness
    background[..., 0] += 0.03 * sample_noise(rng, size_hw, "pebble", zoom=2.0)
    return background


def _soil(rng: np.random.Generator, size_hw: tuple[int, int]) -> Floats:
    layers: Layers = {"rough": 0.09, "grain": 0.05, "cloud": 0.04}
    return _pavement(rng, size_hw, (0.3, 0.6), layers, _yellowish((0.7, 0.88), (0.45, 0.7)))


def _grass(rng: np.random.Generator, size_hw: tuple[int, int]) -> Floats:
    level = rng.uniform(0.25, 0.5)
    blades = sample_noise(rng, size_hw, "streak", zoom=rng.uniform(0.2, 0.5))
    across = sample_noise(rng, size_hw[::-1], "streak", zoom=rng.uniform(0.2, 0.5)).T
    field = np.maximum(blades, across) * np.float32(0.1) + sample_noise(rng, size_hw, "cloud") * np.float32(0.05)
    return _tinted(rng, field, (level * rng.uniform(0.6, 1.1), level, level * rng.uniform(0.3, 0.6)))


def _metal(rng: np.random.Generator, size_hw: tuple[int, int]) -> Floats:
    level = rng.uniform(0.3, 0.75)
    brushed = sample_noise(rng, size_hw, "streak", zoom=rng.uniform(0.6, 2.0))
    field = brushed * np.float32(rng.uniform(0.02, 0.08)) + sample_noise(rng, size_hw, "cloud") * np.float32(0.05)
    background = _tinted(rng, field, _grey(rng, level, 0.03))
    if rng.random() < 0.5:
        _tread_plate(rng, background)
    return background


def _plain(rng: np.random.Generator, size_hw: tuple[int, int]) -> Floats:
    """Draw a tarpaulin, painted floor or table: any colour, little texture."""
    kinds: list[NoiseKind] = ["fine", "rough", "cloud", "streak"]
    field = sample_noise(rng, size_hw, kinds[rng.integers(4)], zoom=rng.uniform(0.7, 2.0))
    colour = rng.uniform(0.05, 0.95, 3)
    return _tinted(rng, field * np.float32(rng.uniform(0.005, 0.06)), (colour[0], colour[1], colour[2]))


PAVEMENTS: tuple[Callable[[np.random.Generator, tuple[int, int]], Floats], ...] = (
    _asphalt,
    _concrete,
    _plaster,
    _sandstone,
    _gravel,
    _soil,
    _grass,
    _metal,
    _plain,
)


def _pavement(
    rng: np.random.Generator, size_hw: tuple[int, int], levels: tuple[float, float], layers: Layers, colour: DrawColour
) -> Floats:
    """Return layers of noise around a random brightness from `levels`, in a colour of that brightness."""
    level = rng.uniform(*levels)
    # one common strength: a pavement seen from afar or out of focus has little of any grain
    strength = float(np.exp(rng.uniform(np.log(0.12), np.log(1.1)))) * min(1.0, 0.4 + level)
    field = np.zeros(size_hw, np.float32)
    for kind, amplitude in layers.items():
        zoom = float(np.exp(rng.uniform(np.log(0.5), np.log(1.6))))
        field += sample_noise(rng, size_hw, kind, zoom) * np.float32(amplitude * strength * rng.uniform(0.3, 1.5))
    return _tinted(rng, field, colour(rng, level))


def _greyish(spread: float) -> DrawColour:
    return lambda rng, level: _grey(rng, level, spread)


def _yellowish(green: tuple[float, float], blue: tuple[float, float]) -> DrawColour:
    """Return a colour whose green and blue are random shares, from these ranges, of its red."""
    return lambda rng, level: (level, level * rng.uniform(*green), level * rng.uniform(*blue))


def _tinted(rng: np.random.Generator, field: Floats, colour: Colour) -> Floats:
    """Return colour plus field. The field's gain differs a little between channels, so that grains carry hue."""
    gains = np.clip(1.0 + 0.08 * rng.standard_normal(3), 0.7, 1.3)
    channels = [field * np.float32(gain) + np.float32(value) for gain, value in zip(gains, colour, strict=True)]
    return np.ascontiguousarray(cv2.merge(channels), dtype=np.float32)


def _grey(rng: np.random.Generator, level: float, spread: float) -> Colour:
    red, green, blue = level + spread * rng.standard_normal(3)
    return float(red), float(green), float(blue)


def _colour_cast(rng: np.random.Generator) -> Floats:
    return np.clip(1.0 + 0.05 * rng.standard_normal(3), 0.85, 1.15).astype(np.float32)


def _tread_plate(rng: np.random.Generator, background: Floats) -> None:
    """Add raised bars in alternating directions, lit from one side."""
    height, width = background.shape[:2]
    pitch = int(rng.integers(14, 40))
    relief = np.zeros((height, width), np.uint8)
    for row, y in enumerate(range(0, height + pitch, pitch)):
        for column, x in enumerate(range(0, width + pitch, pitch)):
            dx, dy = (pitch // 3, pitch // 3) if (row + column) % 2 else (pitch // 3, -pitch // 3)
            cv2.line(relief, (x - dx, y - dy), (x + dx, y + dy), 255, max(2, pitch // 8), cv2.LINE_AA)
    slope = cv2.Sobel(cv2.blur(relief, (3, 3)), cv2.CV_32F, 1, 1, ksize=3)
    background += (slope * np.float32(rng.uniform(2e-4, 1e-3)))[..., None]
