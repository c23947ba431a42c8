"""What each format loses of 500 random masks, and how large it is: `python -m tests.bench.formats OUT.json`."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
from PIL import Image
from pycocotools.coco import COCO

from models.masks import encode_rle, mask_box, mask_iou
from tests.support.format_readers import (
    Mask,
    fill_as_ultralytics,
    read_cvat_masks,
    read_label_studio_masks,
    read_labelme_masks,
    read_voc_index,
    read_yolo_outlines,
    yolo_points,
)
from weaksam.formats.coco import annotation_row, category_rows, image_row, write_dataset
from weaksam.formats.convert import FormatName, convert

COUNT, SIZE_HW, SEED = 500, (120, 160), 0
LABEL = "thing"


def random_masks() -> list[Mask]:
    """Draw ellipses, some of them as holes, and strew one-pixel things."""
    rng = np.random.default_rng(SEED)
    masks = []
    for _ in range(COUNT):
        canvas = np.zeros(SIZE_HW, np.uint8)
        for step in range(int(rng.integers(1, 6))):
            centre = int(rng.integers(SIZE_HW[1])), int(rng.integers(SIZE_HW[0]))
            axes = int(rng.integers(1, 40)), int(rng.integers(1, 40))
            value = int(step == 0 or rng.random() < 0.6)
            cv2.ellipse(canvas, centre, axes, float(rng.integers(180)), 0, 360, value, -1)
        canvas.ravel()[rng.integers(0, canvas.size, 3)] = 1
        masks.append(canvas.astype(np.bool_))
    return masks


def read_back(to: FormatName, out: Path, run: Path) -> list[Mask]:
    """Return the masks as the consumer of a format reads them."""
    stems = [str(number) for number in range(1, COUNT + 1)]
    readers: dict[FormatName, Callable[[], Iterable[Mask]]] = {
        "coco": lambda: coco_masks(out / "dataset.json"),
        "coco-polygons": lambda: coco_masks(out / "dataset.json"),
        "coco-results": lambda: coco_masks(run / "dataset.json", out / "results.json"),
        "cvat": lambda: (mask_hw for rows in read_cvat_masks(out / "annotations.xml") for _, mask_hw in rows),
        "labelstudio": lambda: (mask_hw for rows in read_label_studio_masks(out / "tasks.json") for _, mask_hw in rows),
        "labelme": lambda: (mask_hw for stem in stems for _, mask_hw in read_labelme_masks(out / f"{stem}.json")),
        "yolo-seg": lambda: (read_yolo_outlines(out / f"labels/{s}.txt", [LABEL], SIZE_HW)[0][1] for s in stems),
        "voc": lambda: (read_voc_index(out / "SegmentationObject" / f"{stem}.png") == 1 for stem in stems),
        "png": lambda: (np.asarray(Image.open(out / f"masks/{stem}.jpg.1.png")).astype(np.bool_) for stem in stems),
    }
    return list(readers[to]())


def coco_masks(dataset: Path, results: Path | None = None) -> list[Mask]:
    """Return what pycocotools reads."""
    coco = COCO(str(dataset))
    rows = coco if results is None else coco.loadRes(str(results))
    return [rows.annToMask(row).astype(np.bool_) for row in rows.dataset["annotations"]]


def measure(to: FormatName, masks: Sequence[Mask], run: Path, min_fidelity: float) -> dict[str, Any]:
    """Return mean and lowest IoU of what is read, and bytes a mask."""
    out = Path(tempfile.mkdtemp())
    convert(run, to, out, min_fidelity)
    read = read_back(to, out, run)
    assert len(read) == len(masks), to
    row: dict[str, Any] = dict(summary([mask_iou(a, b) for a, b in zip(read, masks, strict=True)]))
    files = [path for path in out.rglob("*") if path.is_file() and path.name not in ("conversion.json", "masks.csv")]
    row |= {"format": to, "min_fidelity": min_fidelity, "bytes": sum(p.stat().st_size for p in files) / len(masks)}
    if to == "yolo-seg":
        points = [yolo_points(path, SIZE_HW) for path in sorted((out / "labels").iterdir(), key=lambda p: int(p.stem))]
        filled = [fill_as_ultralytics(outline, SIZE_HW) for [(_, outline)] in points]
        row["by_ultralytics_fill"] = summary([mask_iou(a, b) for a, b in zip(filled, masks, strict=True)])
    return row


def summary(ious: Sequence[float]) -> dict[str, float]:
    """Return mean and lowest of IoUs."""
    return {"mean_iou": round(float(np.mean(ious)), 4), "lowest_iou": round(float(min(ious)), 4)}


def main(path: Path) -> None:
    """Write the table as JSON."""
    masks, run = random_masks(), Path(tempfile.mkdtemp())
    images = [image_row(number, f"{number}.jpg", SIZE_HW) for number in range(1, COUNT + 1)]
    rows = []
    for number, mask_hw in enumerate(masks, start=1):
        x0, y0, x1, y1 = map(float, mask_box(mask_hw))
        rows.append(annotation_row(number, 1, (x0, y0, x1, y1), encode_rle(mask_hw), score=0.5))
    write_dataset(run / "dataset.json", {}, category_rows([LABEL]), images, rows)
    names: list[FormatName] = [name for name in get_args(FormatName) if name != "yolo"]
    outlined = ("coco-polygons", "yolo-seg", "labelme")
    table = [
        measure(name, masks, run, fidelity)
        for name in names
        for fidelity in ([1.0, 0.98] if name in outlined else [1.0])
    ]
    path.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
