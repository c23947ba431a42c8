"""How well a CAM classifier knows tags and points at objects."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.progress import track

from models.image import read_image
from models.labels import LabelSet
from models.letterbox import Letterbox
from models.nets.backbone import MEAN_RGB
from models.nets.cam_nets import AveragedCam, CamNet
from models.peaks import find_peaks
from models.settings import PromptSettings
from training.data.tagged import TaggedImage
from training.data.tiles import tag_vector
from training.metrics.average_precision import HIT, MISS, average_precision

PEAKS = PromptSettings(peak_grid="input")  # as in the paper


@dataclass
class PeakCount:
    """Peaks of the tagged classes against true boxes."""

    tags: int = 0
    peaks: int = 0
    peaks_inside: int = 0
    objects: int = 0
    objects_found: int = 0


def report_cam(net: CamNet, images: Sequence[TaggedImage], labels: LabelSet, side_px: int, out: Path) -> None:
    """Write what `measure_cam` finds as JSON."""
    out.write_text(json.dumps(measure_cam(net, images, labels, side_px), indent=1) + "\n", encoding="utf-8")


def measure_cam(
    net: CamNet | AveragedCam, images: Sequence[TaggedImage], labels: LabelSet, side_px: int
) -> dict[str, Any]:
    """Tag top-1 (pictures with one tag), tag mAP and, where boxes are known, pointing accuracy and peaks.

    ``pointing_accuracy`` is the first kind of map's; ``pointing_by_kind`` has all kinds. ``peaks`` says how many the
    maps of a tag have together, how many of them lie in a box of that tag, and how many boxes hold one.
    """
    logits = np.zeros((len(images), len(labels)), np.float32)
    tags = np.stack([tag_vector(image.tags, labels) for image in images])
    device = next(net.parameters()).device
    hits: list[list[bool]] = [[] for _ in net.map_kinds]
    count = PeakCount()
    for row, image in enumerate(track(images, "CAM report")):
        letterbox = Letterbox(image.size_hw, side_px)
        padded = letterbox.apply(read_image(image.path), MEAN_RGB)
        with torch.no_grad():
            pooled, maps = net.tag_maps(torch.from_numpy(padded)[None].to(device))
        logits[row], maps_kchw = pooled[0].cpu().numpy(), maps[0].cpu().numpy()
        for kind, maps_chw in enumerate(maps_kchw):
            hits[kind] += pointing_hits(maps_chw, image, labels, letterbox)
        count_peaks(maps_kchw, net.map_kinds, image, labels, letterbox, count)
    one_tag = tags.sum(axis=1) == 1
    known = np.flatnonzero(tags.any(axis=0))
    by_kind = {kind: float(np.mean(found)) for kind, found in zip(net.map_kinds, hits, strict=True) if found}
    return {
        "images": len(images),
        "tag_top1": float((logits.argmax(1) == tags.argmax(1))[one_tag].mean()) if one_tag.any() else None,
        "tag_map": float(np.mean([_ranking_ap(logits[:, c], tags[:, c]) for c in known])),
        "pointing_accuracy": by_kind.get(net.map_kinds[0]),
        "pointing_by_kind": by_kind,
        "peaks": _peak_rates(count),
    }


def count_peaks(
    maps_kchw: npt.NDArray[np.float32],
    map_kinds: Sequence[str],
    image: TaggedImage,
    labels: LabelSet,
    letterbox: Letterbox,
    count: PeakCount,
) -> None:
    """Add a picture's peaks, those of all its maps together, to ``count``; pictures without boxes add nothing."""
    for tag in {true.label for true in image.objects}:
        index = labels.index(tag)
        assert index is not None, "readers admit known labels only"
        peaks = find_peaks(maps_kchw, [index], letterbox.side_px, letterbox.valid_hw, PEAKS, map_kinds)
        boxes = np.array([true.box_xyxy for true in image.objects if true.label == tag], np.float32)[None]
        points = letterbox.points_to_image(peaks.points_xy)[:, None]
        inside = np.all((points >= boxes[..., :2]) & (points < boxes[..., 2:]), axis=2)  # [N,boxes]
        count.tags += 1
        count.peaks += len(peaks)
        count.peaks_inside += int(np.any(inside, axis=1).sum())
        count.objects += inside.shape[1]
        count.objects_found += int(np.any(inside, axis=0).sum())


def _peak_rates(count: PeakCount) -> dict[str, float] | None:
    if not count.peaks:
        return None
    return {
        "per_tag": count.peaks / count.tags,
        "inside_share": count.peaks_inside / count.peaks,
        "objects_found_share": count.objects_found / count.objects,
    }


def pointing_hits(
    maps_chw: npt.NDArray[np.float32], image: TaggedImage, labels: LabelSet, letterbox: Letterbox
) -> list[bool]:
    """For each (picture, tag) with known boxes: whether the map's highest point lies in a box of that tag."""
    hits = []
    stride_px = letterbox.side_px / maps_chw.shape[-1]
    rows, columns = (int(np.ceil(length / stride_px)) for length in letterbox.valid_hw)
    for tag in {true.label for true in image.objects}:
        index = labels.index(tag)
        assert index is not None, "readers admit known labels only"
        valid = maps_chw[index, :rows, :columns]
        row, column = np.unravel_index(int(valid.argmax()), valid.shape)
        point_xy = (np.array([[column, row]], np.float32) + 0.5) * stride_px
        x, y = letterbox.points_to_image(point_xy)[0]
        boxes = [true.box_xyxy for true in image.objects if true.label == tag]
        hits.append(any(x0 <= x < x1 and y0 <= y < y1 for x0, y0, x1, y1 in boxes))
    return hits


def _ranking_ap(scores: npt.NDArray[np.float32], tagged: npt.NDArray[np.float32]) -> float:
    """Average precision of pictures ranked by score."""
    return average_precision(scores, np.where(tagged > 0, HIT, MISS).astype(np.int8), int(tagged.sum()))
