"""What each format loses of 500 random masks, and how large it is.

python -m tests.bench.labelling.formats OUT.json
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
from PIL import Image
from pycocotools.coco import COCO

from tests.support.labelling_tools.environment import run_in_tools
from tests.support.labelling_tools.format_readers import (
    fill_as_ultralytics,
    read_labelme_masks,
    read_yolo_outlines,
    yolo_points,
)
from tests.support.labelling_tools.random_masks import LABELS, SIZE_HW, random_masks, store_run
from weaksam.arrays import Mask
from weaksam.formats.convert import FormatName, convert
from weaksam.formats.polygons import mask_iou

COUNT = 500
BESIDE = ("conversion.json", "masks.csv", "provenance.json")
OUTLINED: tuple[FormatName, ...] = ("coco-polygons", "yolo-seg", "labelme")
BY_TOOLS: tuple[FormatName, ...] = ("labelstudio", "cvat", "labelme", "roboflow", "voc")


def read_back(to: FormatName, out: Path, run: Path) -> list[Mask]:
    """Return the masks of a format that `tests/support/labelling_tools/tool_readers.py` does not read."""
    stems = [str(number) for number in range(1, COUNT + 1)]
    readers: dict[FormatName, Callable[[], Iterable[Mask]]] = {
        "coco": lambda: coco_masks(out / "dataset.json"),
        "coco-polygons": lambda: coco_masks(out / "dataset.json"),
        "coco-results": lambda: coco_masks(run / "dataset.json", out / "results.json"),
        "labelme": lambda: (mask_hw for stem in stems for _, mask_hw in read_labelme_masks(out / f"{stem}.json")),
        "yolo-seg": lambda: (read_yolo_outlines(out / f"labels/{s}.txt", LABELS, SIZE_HW)[0][1] for s in stems),
        "png": lambda: (np.asarray(Image.open(out / f"masks/{stem}.jpg.1.png")).astype(np.bool_) for stem in stems),
    }
    return list(readers[to]())


def coco_masks(dataset: Path, results: Path | None = None) -> list[Mask]:
    """Return what pycocotools reads."""
    coco = COCO(str(dataset))
    rows = coco if results is None else coco.loadRes(str(results))
    return [rows.annToMask(row).astype(np.bool_) for row in rows.dataset["annotations"]]


def measure(to: FormatName, masks: Sequence[Mask], run: Path, min_fidelity: float) -> list[dict[str, Any]]:
    """Return a row for each way in which the format is read: mean and lowest IoU, and bytes a mask."""
    out = Path(tempfile.mkdtemp()) / to
    convert(run, to, out, min_fidelity)
    files = [path for path in out.rglob("*") if path.is_file() and path.name not in BESIDE]
    common = {"format": to, "min_fidelity": min_fidelity, "bytes": sum(p.stat().st_size for p in files) / len(masks)}
    return [{**common, "read_by": reader, **summary(read, masks)} for reader, read in readings(to, out, run).items()]


def readings(to: FormatName, out: Path, run: Path) -> dict[str, list[Mask]]:
    """Return the masks by the name of what reads them: the tools' own code, and else ports of their rules."""
    if to not in BY_TOOLS:
        found = {"rule": read_back(to, out, run)}
        return found | {"ultralytics_fill": ultralytics_masks(out)} if to == "yolo-seg" else found
    ported = {"rule": read_back(to, out, run)} if to == "labelme" else {}
    work = {"folders": {to: str(out)}, "out": str(out.parent), "count": COUNT, "size_hw": SIZE_HW}
    names = run_in_tools("tool_readers.py", work, Path(tempfile.mkdtemp()))
    return ported | {name: list(np.load(out.parent / f"{name}.npz")["masks"]) for name in names}


def ultralytics_masks(out: Path) -> list[Mask]:
    """Return the outlines, filled as Ultralytics fills them."""
    points = [yolo_points(path, SIZE_HW) for path in sorted((out / "labels").iterdir(), key=lambda p: int(p.stem))]
    return [fill_as_ultralytics(outline, SIZE_HW) for [(_, outline)] in points]


def summary(read: Sequence[Mask], masks: Sequence[Mask]) -> dict[str, float]:
    """Return mean and lowest IoU of masks with those that were stored."""
    ious = [mask_iou(a, b) for a, b in zip(read, masks, strict=True)]
    return {"mean_iou": round(float(np.mean(ious)), 4), "lowest_iou": round(float(min(ious)), 4)}


def main(path: Path) -> None:
    """Write the table as JSON."""
    masks, run = random_masks(COUNT), Path(tempfile.mkdtemp())
    store_run(masks, run)
    names: list[FormatName] = [name for name in get_args(FormatName) if name != "yolo"]
    table = [
        row
        for name in names
        for fidelity in ([1.0, 0.98] if name in OUTLINED else [1.0])
        for row in measure(name, masks, run, fidelity)
    ]
    path.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
