"""How well a CAM classifier knows tags and points at objects."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from rich.progress import track

from models.image import read_image
from models.labels import LabelSet
from models.letterbox import Letterbox
from models.nets.backbone import MEAN_RGB, STRIDE_PX
from models.nets.cam import CnnCam
from training.data.tagged import TaggedImage
from training.metrics import HIT, MISS, average_precision
from training.tiles import tag_vector


def report_cam(net: CnnCam, images: Sequence[TaggedImage], labels: LabelSet, side_px: int, out: Path) -> None:
    """Write tag top-1 (pictures with one tag), tag mAP and, where boxes are known, pointing accuracy as JSON."""
    logits = np.zeros((len(images), len(labels)), np.float32)
    tags = np.stack([tag_vector(image.tags, labels) for image in images])
    hits: list[bool] = []
    for row, image in enumerate(track(images, "CAM report")):
        letterbox = Letterbox(image.size_hw, side_px)
        padded = letterbox.apply(read_image(image.path), MEAN_RGB)
        with torch.no_grad():
            pooled, maps = net(torch.from_numpy(padded)[None])
        logits[row] = pooled[0].numpy()
        hits += pointing_hits(maps[0].numpy(), image, labels, letterbox)
    one_tag = tags.sum(axis=1) == 1
    known = np.flatnonzero(tags.any(axis=0))
    report = {
        "images": len(images),
        "tag_top1": float((logits.argmax(1) == tags.argmax(1))[one_tag].mean()) if one_tag.any() else None,
        "tag_map": float(np.mean([_ranking_ap(logits[:, c], tags[:, c]) for c in known])),
        "pointing_accuracy": float(np.mean(hits)) if hits else None,
    }
    out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def pointing_hits(
    maps_chw: npt.NDArray[np.float32], image: TaggedImage, labels: LabelSet, letterbox: Letterbox
) -> list[bool]:
    """For each (picture, tag) with known boxes: whether the map's highest point lies in a box of that tag."""
    hits = []
    rows, columns = (-(-length // STRIDE_PX) for length in letterbox.valid_hw)
    for tag in {true.label for true in image.objects}:
        index = labels.index(tag)
        assert index is not None, "readers admit known labels only"
        valid = maps_chw[index, :rows, :columns]
        row, column = np.unravel_index(int(valid.argmax()), valid.shape)
        point_xy = (np.array([[column, row]], np.float32) + 0.5) * STRIDE_PX
        x, y = letterbox.points_to_image(point_xy)[0]
        boxes = [true.box_xyxy for true in image.objects if true.label == tag]
        hits.append(any(x0 <= x < x1 and y0 <= y < y1 for x0, y0, x1, y1 in boxes))
    return hits


def _ranking_ap(scores: npt.NDArray[np.float32], tagged: npt.NDArray[np.float32]) -> float:
    """Average precision of pictures ranked by score."""
    return average_precision(scores, np.where(tagged > 0, HIT, MISS).astype(np.int8), int(tagged.sum()))
