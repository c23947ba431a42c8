"""Write masks as brush strokes by Label Studio's own code, in the environment that `make tools` installs.

A program of its own: it reads JSON `{"masks": file}` from stdin, masks [N,H,W] in a NumPy file, and writes the bytes of
each as JSON to stdout.
"""

from __future__ import annotations

import json
import runpy
import sys
import sysconfig

import numpy as np


def main() -> None:
    """Write each mask, without the rest of Label Studio's SDK, whose imports are many."""
    converter = runpy.run_path(f"{sysconfig.get_path('purelib')}/label_studio_sdk/converter/brush.py")
    masks = np.load(json.load(sys.stdin)["masks"])
    json.dump([converter["mask2rle"](np.uint8(255) * mask_hw) for mask_hw in masks], sys.stdout)


if __name__ == "__main__":
    main()
