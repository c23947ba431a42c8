"""A COCO-layout data set of two domains with masks: one of single things, one of many."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

SIZE_HW = (80, 100)
MANY = 12


def write_masked_images(root: Path) -> Path:
    """Write three images to each domain: `few` has one bright square, `many` has twelve; returns ``root``."""
    rng = np.random.default_rng(1)
    rows: list[dict[str, Any]] = []
    things: list[dict[str, Any]] = []
    for domain, count, side in (("few", 1, 40), ("many", MANY, 12)):
        (root / "images" / domain).mkdir(parents=True, exist_ok=True)
        for number in range(3):
            pixels = rng.integers(0, 90, (*SIZE_HW, 3)).astype(np.uint8)
            rows.append({"id": len(rows) + 1, "file_name": f"{domain}/{number}.png", "height": 80, "width": 100})
            for x, y in [(4 + 24 * (k % 4), 4 + 24 * (k // 4)) for k in range(count)]:
                pixels[y : y + side, x : x + side] = 220
                polygon = [x, y, x + side, y, x + side, y + side, x, y + side]
                things.append(_annotation(len(things) + 1, len(rows), polygon, [x, y, side, side], domain))
            cv2.imwrite(str(root / "images" / domain / f"{number}.png"), pixels)
    document = {
        "images": rows,
        "annotations": things,
        "categories": [{"id": 1, "name": "few/thing"}, {"id": 2, "name": "many/thing"}],
    }
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations" / "instances_train.json").write_text(json.dumps(document), encoding="utf-8")
    return root


def _annotation(number: int, image: int, polygon: list[int], bbox: list[int], domain: str) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": image,
        "category_id": 1 if domain == "few" else 2,
        "segmentation": [polygon],
        "bbox": bbox,
        "area": bbox[2] * bbox[3],
        "iscrowd": 0,
    }
