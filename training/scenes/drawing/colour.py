"""Colour arithmetic on float images, channel by channel."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from training.scenes.drawing.noise import Floats


def scale_channels(image_hwc: Floats, gains_rgb: npt.NDArray[np.floating]) -> None:
    """Multiply each channel of `image_hwc` by its gain, in place.

    OpenCV does it several times faster than numpy, which broadcasts badly over an axis of three.
    """
    red, green, blue = (float(gain) for gain in gains_rgb)
    image_hwc[...] = cv2.transform(image_hwc, np.diag([red, green, blue]).astype(np.float32))
