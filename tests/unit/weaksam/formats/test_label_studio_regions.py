"""Label Studio's brush: bytes as its own page writes them, where strokes end in half covered pixels."""

from __future__ import annotations

import numpy as np

from weaksam.formats.label_studio_regions import brush_mask


def test_blocks_of_single_values_are_read() -> None:
    alphas = [0, 255, 128, 127]
    header = f"{16:032b}" + f"{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    # The first pixel is a run of four zeros, the others are twelve values, each for itself.
    run = "1" + "00" + f"{3:03b}" + f"{0:08b}"
    values = "".join(f"{value:08b}" for alpha in alphas[1:] for value in (9, 9, 9, alpha))
    bits = header + run + "0" + "01" + f"{11:04b}" + values
    data = np.packbits(np.array([int(bit) for bit in bits], np.uint8)).tolist()
    assert brush_mask(data, (2, 2)).tolist() == [[False, True], [True, False]]
