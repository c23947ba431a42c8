"""Scenes: several drawn tools and pieces of debris on pavement, with exact instance masks and labels."""

from __future__ import annotations

import numpy as np

from training.scenes.background import AIRFIELD, draw_background
from training.scenes.light import random_light
from training.scenes.objects.catalogue import CATEGORIES, CATEGORY_NAMES, draw_object
from training.scenes.objects.distractors import at_centre, draw_distractors
from training.scenes.paste_objects import PlacedObject, SceneImage, compose_image

MAX_INSTANCES = 6
_REPEAT_SHARE = 0.4  # of the instances after the first: one more of a kind that already lies there
_HEAP_SHARE = 0.3  # likewise: beside or on an earlier one instead of anywhere
_MIN_LENGTH_PX = 16.0


def draw_scene(rng: np.random.Generator, size_hw: tuple[int, int]) -> SceneImage:
    """Return an image of 1 to 6 instances of `CATEGORY_NAMES`, at least one of them visible."""
    while True:
        image = _draw(rng, size_hw)
        if image.labels:
            return image


def _draw(rng: np.random.Generator, size_hw: tuple[int, int]) -> SceneImage:
    background = draw_background(rng, size_hw, AIRFIELD)
    light = random_light(rng)
    placed = draw_distractors(rng, background, light.source_xy)
    placed.extend(_draw_objects(rng, size_hw, light.source_xy))
    return compose_image(rng, background, placed, light)


def _draw_objects(
    rng: np.random.Generator, size_hw: tuple[int, int], light_xy: tuple[float, float]
) -> list[PlacedObject]:
    nearness = float(np.exp(rng.uniform(np.log(0.18), np.log(0.55))))
    picked: list[str] = []
    centres: list[tuple[float, float]] = []
    placed = []
    for _ in range(int(rng.integers(1, MAX_INSTANCES + 1))):
        repeats = bool(picked) and rng.random() < _REPEAT_SHARE
        picked.append(str(rng.choice(picked if repeats else CATEGORY_NAMES)))
        length_px = _length_px(rng, picked[-1], nearness * min(size_hw), 0.8 * min(size_hw))
        centres.append(_place(rng, size_hw, centres, length_px))
        placed.append(at_centre(draw_object(rng, picked[-1], length_px, light_xy), centres[-1], is_object=True))
    return placed


def _length_px(rng: np.random.Generator, name: str, length_of_15_cm_px: float, longest_px: float) -> float:
    # sizes are drawn together (square root): beside a hammer at true scale a nut would be a dot
    length_px = length_of_15_cm_px * (CATEGORIES[name].length_cm / 15) ** 0.5 * rng.uniform(0.8, 1.25)
    return float(np.clip(length_px, _MIN_LENGTH_PX, longest_px))


def _place(
    rng: np.random.Generator, size_hw: tuple[int, int], earlier_yx: list[tuple[float, float]], length_px: float
) -> tuple[float, float]:
    """Return a place on the heap, or the freest of three random places."""
    if earlier_yx and rng.random() < _HEAP_SHARE:
        near = np.array(earlier_yx[int(rng.integers(len(earlier_yx)))]) + rng.normal(0, 0.3 * length_px, 2)
        y, x = np.clip(near, 0.03 * np.array(size_hw), 0.97 * np.array(size_hw))
        return float(y), float(x)
    candidates = rng.uniform(0.06, 0.94, (3, 2)) * size_hw
    if earlier_yx:
        distances = np.linalg.norm(candidates[:, None] - np.array(earlier_yx)[None], axis=2).min(axis=1)
        candidates = candidates[[int(distances.argmax())]]
    return float(candidates[0, 0]), float(candidates[0, 1])
