"""Selective search (Uijlings et al., 2013) over image files: the proposals that WSOD learnt from before SAM.

OpenCV has it only in its contrib modules, whose package overwrites the plain one that we depend on. So this file is
run by the interpreter of an environment of its own (`pip install opencv-contrib-python-headless`) and imports nothing
of ours: paths as a JSON list on stdin, lists of boxes on stdout, best first.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import cv2

SEED = 2013


def search(path: str, max_boxes: int, quality: bool) -> list[list[float]]:
    """Return at most ``max_boxes`` boxes of an image by rank, half-open x0,y0,x1,y1 in its upright pixels."""
    modules: Any = cv2
    if not hasattr(modules, "ximgproc"):
        raise SystemExit(f"{sys.executable} has no OpenCV with ximgproc: pip install opencv-contrib-python-headless")
    image_hwc_u8 = cv2.imread(path, cv2.IMREAD_COLOR)
    if image_hwc_u8 is None:
        raise SystemExit(f"{path} cannot be read as an image")
    # A box's rank is drawn at random within its strategy, so the seed belongs to the method.
    cv2.setRNGSeed(SEED)
    segmentation = modules.ximgproc.segmentation.createSelectiveSearchSegmentation()
    segmentation.setBaseImage(image_hwc_u8)
    if quality:
        segmentation.switchToSelectiveSearchQuality()
    else:
        segmentation.switchToSelectiveSearchFast()
    return [[float(x), float(y), float(x + w), float(y + h)] for x, y, w, h in segmentation.process()[:max_boxes]]


def main() -> None:
    """Run `selective_search.py MAX_BOXES fast|quality`."""
    cv2.setNumThreads(1)
    max_boxes, quality = int(sys.argv[1]), sys.argv[2] == "quality"
    json.dump([search(path, max_boxes, quality) for path in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    main()
