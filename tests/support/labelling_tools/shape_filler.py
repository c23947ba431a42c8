"""Fill shapes by LabelMe's and X-AnyLabeling's own code, in the environment that `make tools` installs.

A program of its own: it reads JSON `{"shapes": [[tool, kind, points], ...], "size_hw", "masks": file}` from stdin,
writes masks [N,H,W] into a NumPy file, and `null` to stdout.
"""

from __future__ import annotations

import json
import sys

import numpy as np
from anylabeling.views.labeling.utils.shape import shape_to_mask as fill_as_x_anylabeling
from labelme.utils import shape_to_mask as fill_as_labelme

FILL = {"labelme": fill_as_labelme, "x-anylabeling": fill_as_x_anylabeling}


def main() -> None:
    """Fill each shape by its tool."""
    work = json.load(sys.stdin)
    masks = [FILL[tool](work["size_hw"], points, kind) for tool, kind, points in work["shapes"]]
    np.save(work["masks"], np.array(masks, np.bool_))
    json.dump(None, sys.stdout)


if __name__ == "__main__":
    main()
