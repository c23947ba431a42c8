"""The camera: blur, white balance, gamma, sensor noise, small resolution, JPEG."""

from __future__ import annotations

import cv2
import numpy as np

from training.scenes.drawing.colour import scale_channels
from training.scenes.drawing.noise import Floats, sample_noise
from weaksam.arrays import ImageU8


def simulate_camera(rng: np.random.Generator, image_hwc: Floats) -> ImageU8:
    """Return a float image (0..1) as a camera would store it, uint8 [H,W,3]. Nothing moves by a pixel or more."""
    if rng.random() < 0.55:
        image_hwc = _blur(rng, image_hwc)
    if rng.random() < 0.2:
        image_hwc = _coarse(rng, image_hwc)
    _expose(rng, image_hwc)
    if rng.random() < 0.7:
        _sensor_noise(rng, image_hwc)
    image = _to_bytes(rng, image_hwc)
    return _jpeg(rng, image) if rng.random() < 0.6 else image


def _blur(rng: np.random.Generator, image: Floats) -> Floats:
    if rng.random() < 0.8:
        sigma = float(np.exp(rng.uniform(np.log(0.35), np.log(1.8))))
        return cv2.GaussianBlur(image, (0, 0), sigma).astype(np.float32, copy=False)
    length = int(rng.integers(2, 7))
    kernel = np.zeros((2 * length + 1, 2 * length + 1), np.float32)
    angle = rng.uniform(0, np.pi)
    reach = np.round(np.array([np.cos(angle), np.sin(angle)]) * length / 2).astype(int)
    cv2.line(kernel, tuple(length - reach), tuple(length + reach), 1.0, 1, cv2.LINE_AA)
    return cv2.filter2D(image, -1, kernel / kernel.sum()).astype(np.float32, copy=False)


def _coarse(rng: np.random.Generator, image: Floats) -> Floats:
    height, width = image.shape[:2]
    share = rng.uniform(0.45, 0.9)
    small = cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    ways = (cv2.INTER_LINEAR, cv2.INTER_CUBIC)
    return cv2.resize(small, (width, height), interpolation=ways[rng.integers(2)]).astype(np.float32, copy=False)


def _expose(rng: np.random.Generator, image: Floats) -> None:
    """Apply white balance and exposure in place; gamma follows with the conversion to bytes."""
    balance = np.exp(rng.normal(0, 0.03, 3)) * np.exp(rng.normal(0.05, 0.15))
    scale_channels(image, balance)


def _sensor_noise(rng: np.random.Generator, image: Floats) -> None:
    size_hw = (image.shape[0], image.shape[1])
    strength = np.float32(np.exp(rng.uniform(np.log(0.003), np.log(0.05))))
    if rng.random() < 0.5:
        image += strength * sample_noise(rng, size_hw, "white")[..., None]
    else:
        channels = [sample_noise(rng, size_hw, "fine") for _ in range(3)]
        image += strength * cv2.merge(channels)


def _to_bytes(rng: np.random.Generator, image: Floats) -> ImageU8:
    """Apply gamma and contrast through a table of 4096 steps: a power per pixel would cost more than the image."""
    gamma, contrast, pivot = np.exp(rng.normal(-0.05, 0.18)), np.exp(rng.normal(0, 0.1)), rng.uniform(0.3, 0.6)
    steps = np.linspace(0, 1, 4096)
    table = np.clip(((steps**gamma - pivot) * contrast + pivot) * 255 + 0.5, 0, 255).astype(np.uint8)
    return np.asarray(table[np.clip(image * 4095, 0, 4095).astype(np.uint16)], dtype=np.uint8)


def _jpeg(rng: np.random.Generator, image: ImageU8) -> ImageU8:
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 97))])
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), dtype=np.uint8)
