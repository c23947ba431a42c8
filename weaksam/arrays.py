"""Types of numpy arrays, so that a signature says what its arrays hold; the names of arguments say their axes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
ImageU8 = npt.NDArray[np.uint8]  # [H,W,3] RGB
Mask = npt.NDArray[np.bool_]  # [H,W]
Masks = npt.NDArray[np.bool_]  # [N,H,W]
