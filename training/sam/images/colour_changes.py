"""Random changes of an image's colours and sharpness."""

from __future__ import annotations

import cv2
import numpy as np

from weaksam.arrays import ImageU8

GREY_SHARE = 0.08
SHARE_OF_EACH = 0.2  # of images that are blurred, noisy, or compressed
GAINS = (0.65, 1.35)
CHANNEL_GAINS = (0.85, 1.15)
GAMMAS = (0.7, 1.4)
SATURATIONS = (0.4, 1.5)


def change_colours(rng: np.random.Generator, image_hwc_u8: ImageU8) -> ImageU8:
    """Return the image [H,W,3] in other light, with other colours, at times blurred, noisy or compressed."""
    changed = _relit(rng, _resaturated(rng, image_hwc_u8))
    if rng.random() < SHARE_OF_EACH:
        changed = np.asarray(cv2.GaussianBlur(changed, (0, 0), rng.uniform(0.4, 1.6)), np.uint8)
    if rng.random() < SHARE_OF_EACH:
        noise = rng.normal(0, rng.uniform(2, 12), changed.shape)
        changed = np.clip(changed + noise, 0, 255).astype(np.uint8)
    if rng.random() < SHARE_OF_EACH:
        quality = int(rng.integers(30, 90))
        encoded = cv2.imencode(".jpg", changed, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        changed = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)
    return changed


def _resaturated(rng: np.random.Generator, image_hwc_u8: ImageU8) -> ImageU8:
    share = 0.0 if rng.random() < GREY_SHARE else float(rng.uniform(*SATURATIONS))
    grey = cv2.cvtColor(cv2.cvtColor(image_hwc_u8, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return np.asarray(cv2.addWeighted(image_hwc_u8, share, grey, 1 - share, 0), np.uint8)


def _relit(rng: np.random.Generator, image_hwc_u8: ImageU8) -> ImageU8:
    """Return the image with another gamma, contrast and brightness, each channel with a gain of its own."""
    levels = np.linspace(0, 1, 256) ** rng.uniform(*GAMMAS)
    gains = rng.uniform(*GAINS) * rng.uniform(*CHANNEL_GAINS, 3)
    table = (levels[:, None] - 0.5) * gains + 0.5 + rng.uniform(-0.15, 0.15)
    return np.asarray(cv2.LUT(image_hwc_u8, np.clip(255 * table, 0, 255).astype(np.uint8)[None]), np.uint8)
