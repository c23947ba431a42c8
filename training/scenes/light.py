"""Light: shadows of objects, shadows and highlights over the whole image, vignetting."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from training.scenes.drawing.noise import Floats, sample_noise


@dataclass(frozen=True)
class Light:
    """One light for one image: where shadows fall, and how long, soft and dark they are."""

    towards_xy: tuple[float, float]  # unit vector along which shadows fall, image coordinates (y down)
    length: float  # shadow offset as a share of an object's half thickness
    softness: float  # shadow blur as a share of its offset
    darkness: float  # 0 no shadow .. 1 black

    @property
    def source_xy(self) -> tuple[float, float]:
        """Return the unit vector towards the light: surfaces that face it are bright."""
        return -self.towards_xy[0], -self.towards_xy[1]


def random_light(rng: np.random.Generator) -> Light:
    angle = rng.uniform(0, 2 * np.pi)
    overcast = rng.random() < 0.4
    return Light(
        towards_xy=(float(np.cos(angle)), float(np.sin(angle))),
        length=rng.uniform(0.1, 0.5) if overcast else rng.uniform(0.2, 1.3),
        softness=rng.uniform(0.8, 2.0) if overcast else rng.uniform(0.1, 0.6),
        darkness=rng.uniform(0.05, 0.5) if overcast else rng.uniform(0.35, 0.85),
    )


def cast_shadow(image_hwc: Floats, alpha_hw: Floats, top_left_yx: tuple[int, int], light: Light) -> None:
    """Darken `image_hwc` in place where the object `alpha_hw` at `top_left_yx` shades it."""
    height, width = alpha_hw.shape
    thickness_px = float(alpha_hw.sum()) / max(height, width)
    offset_px = float(np.clip(light.length * thickness_px, 0.6, 40.0))
    sigma_px = float(np.clip(light.softness * offset_px, 0.5, 9.0))
    margin = int(2 * sigma_px) + 1
    soft = cv2.copyMakeBorder(alpha_hw, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=0.0)
    soft = cv2.GaussianBlur(soft, (0, 0), sigma_px)
    top = top_left_yx[0] - margin + round(light.towards_xy[1] * offset_px)
    left = top_left_yx[1] - margin + round(light.towards_xy[0] * offset_px)
    window, part = overlap((image_hwc.shape[0], image_hwc.shape[1]), (soft.shape[0], soft.shape[1]), (top, left))
    image_hwc[window] *= 1.0 - np.float32(light.darkness) * soft[part][..., None]


def overlap(
    size_hw: tuple[int, int], patch_hw: tuple[int, int], top_left_yx: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the part of an image that a patch at `top_left_yx` covers, and the part of the patch inside the image."""
    (top, left), window, part = top_left_yx, [], []
    for start, length, limit in ((top, patch_hw[0], size_hw[0]), (left, patch_hw[1], size_hw[1])):
        low, high = min(max(start, 0), limit), max(min(start + length, limit), 0)
        window.append(slice(low, max(low, high)))
        part.append(slice(low - start, max(low, high) - start))
    return (window[0], window[1]), (part[0], part[1])


def light_image(rng: np.random.Generator, image_hwc: Floats, light: Light) -> None:
    """Light the whole image unevenly, in place: falloff, a lamp's spot, vignetting, a shadow's edge."""
    size_hw = (image_hwc.shape[0], image_hwc.shape[1])
    gain = np.ones(size_hw, np.float32)
    if rng.random() < 0.5:
        gain += np.float32(rng.uniform(0.05, 0.35)) * _ramp(size_hw, light.towards_xy)
    if rng.random() < 0.35:
        gain *= _spot(rng, size_hw)
    if rng.random() < 0.15:
        gain *= _shadow_edge(rng, size_hw)
    image_hwc *= gain[..., None]


def _ramp(size_hw: tuple[int, int], towards_xy: tuple[float, float]) -> Floats:
    y, x = _grid(size_hw)
    return x * np.float32(towards_xy[0]) + y * np.float32(towards_xy[1])


def _spot(rng: np.random.Generator, size_hw: tuple[int, int]) -> Floats:
    """Return the gain of a lamp or flash: bright around one place and dark in the corners."""
    y, x = _grid(size_hw)
    centre_x, centre_y = rng.normal(0, 0.35, 2)
    distance = (x - np.float32(centre_x)) ** 2 + (y - np.float32(centre_y)) ** 2
    depth = rng.uniform(0.15, 0.8)
    falloff = np.exp(-distance * np.float32(1 / rng.uniform(0.5, 2.5)))
    return np.float32(1 - depth + rng.uniform(0.0, 0.3)) + np.float32(depth) * falloff


def _shadow_edge(rng: np.random.Generator, size_hw: tuple[int, int]) -> Floats:
    """Return the gain under a shadow from outside the image: straight as a wing's or ragged as a tree's."""
    angle = rng.uniform(0, 2 * np.pi)
    side = _ramp(size_hw, (float(np.cos(angle)), float(np.sin(angle)))) - np.float32(rng.uniform(-0.6, 0.6))
    if rng.random() < 0.5:
        side += np.float32(0.25) * sample_noise(rng, size_hw, "cloud")
    inside = np.clip(side * np.float32(rng.uniform(4, 40)), 0.0, 1.0)
    return np.asarray(1.0 - np.float32(rng.uniform(0.2, 0.6)) * inside, dtype=np.float32)


def _grid(size_hw: tuple[int, int]) -> tuple[Floats, Floats]:
    y = np.linspace(-1, 1, size_hw[0], dtype=np.float32)[:, None]
    return y, np.linspace(-1, 1, size_hw[1], dtype=np.float32)[None, :]
