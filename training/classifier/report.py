"""Measures how well a CAM classifier names tags and points at objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models.boxes import points_in_boxes
from models.image import read_image
from models.labels import LabelSet
from models.letterbox import Letterbox
from models.nets.backbone import MEAN_RGB
from models.nets.cam_nets import AveragedCam, CamNet
from models.prompting.peaks import find_peaks, valid_cells_hw
from models.settings import PromptSettings
from training.data.tagged import TaggedImage
from training.data.tiles import tag_vector
from training.metrics.average_precision import average_precision
from training.metrics.hits import HIT, MISS
from training.runs.ranks import track_first
from weaksam.arrays import Float32
from weaksam.files.atomic import write_json

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
    write_json(out, measure_cam(net, images, labels, side_px))


def measure_cam(
    net: CamNet | AveragedCam, images: Sequence[TaggedImage], labels: LabelSet, side_px: int
) -> dict[str, Any]:
    """Measure how well a classifier names tags, and if boxes are known how well its maps point at objects.

    Returns:
        ``tag_top1``: of images with one tag; ``tag_map``: mean average precision over tags; ``pointing_accuracy``: of
        the first kind of map; ``pointing_by_kind``: of all kinds; ``peaks``: of all maps of a tag together, how many
        there are, how many lie in a box of that tag, and how many boxes hold one.
    """
    logits = np.zeros((len(images), len(labels)), np.float32)
    hits: list[list[bool]] = [[] for _ in net.map_kinds]
    count = PeakCount()
    for row, image in enumerate(track_first(images, "CAM report")):
        letterbox = Letterbox(image.size_hw, side_px)
        logits[row], maps_kchw = _run(net, letterbox.apply(read_image(image.path), MEAN_RGB))
        for kind, maps_chw in enumerate(maps_kchw):
            hits[kind] += pointing_hits(maps_chw, image, labels, letterbox)
        count_peaks(maps_kchw, net.map_kinds, image, labels, letterbox, count)
    by_kind = {kind: float(np.mean(found)) for kind, found in zip(net.map_kinds, hits, strict=True) if found}
    return {
        "images": len(images),
        **_tag_figures(logits, np.stack([tag_vector(image.tags, labels) for image in images])),
        "pointing_accuracy": by_kind.get(net.map_kinds[0]),
        "pointing_by_kind": by_kind,
        "peaks": _peak_rates(count),
    }


def _run(net: CamNet | AveragedCam, image_hwc_u8: npt.NDArray[np.uint8]) -> tuple[Float32, Float32]:
    """Return an image's tag logits [C] and maps [K,C,h,w]."""
    device = next(net.parameters()).device
    with torch.no_grad():
        logits, maps = net.tag_maps(torch.from_numpy(image_hwc_u8)[None].to(device))
    return logits[0].cpu().numpy(), maps[0].cpu().numpy()


def _tag_figures(logits: Float32, tags: Float32) -> dict[str, float | None]:
    """Return ``tag_top1`` and ``tag_map`` from logits [N,C] and tags [N,C]."""
    one_tag = tags.sum(axis=1) == 1
    known = np.flatnonzero(tags.any(axis=0))
    return {
        "tag_top1": float((logits.argmax(1) == tags.argmax(1))[one_tag].mean()) if one_tag.any() else None,
        "tag_map": float(np.mean([_ranking_ap(logits[:, c], tags[:, c]) for c in known])),
    }


def count_peaks(
    maps_kchw: Float32,
    map_kinds: Sequence[str],
    image: TaggedImage,
    labels: LabelSet,
    letterbox: Letterbox,
    count: PeakCount,
) -> None:
    """Add an image's peaks, those of all its maps together, to ``count``; an image without boxes adds nothing."""
    for tag in {true.label for true in image.objects}:
        index = labels.index(tag)
        assert index is not None, "readers admit known labels only"
        peaks = find_peaks(maps_kchw, [index], letterbox.side_px, letterbox.valid_hw, PEAKS, map_kinds)
        boxes = np.array([true.box_xyxy for true in image.objects if true.label == tag], np.float32)
        inside = points_in_boxes(letterbox.points_to_image(peaks.points_xy), boxes)  # [N,boxes]
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


def pointing_hits(maps_chw: Float32, image: TaggedImage, labels: LabelSet, letterbox: Letterbox) -> list[bool]:
    """Return for each tag with known boxes whether its map's highest point lies in one of them."""
    hits = []
    stride_px = letterbox.side_px / maps_chw.shape[-1]
    rows, columns = valid_cells_hw(letterbox.valid_hw, stride_px)
    for tag in {true.label for true in image.objects}:
        index = labels.index(tag)
        assert index is not None, "readers admit known labels only"
        valid = maps_chw[index, :rows, :columns]
        row, column = np.unravel_index(int(valid.argmax()), valid.shape)
        point_xy = (np.array([[column, row]], np.float32) + 0.5) * stride_px
        boxes = np.array([true.box_xyxy for true in image.objects if true.label == tag], np.float32)
        hits.append(bool(points_in_boxes(letterbox.points_to_image(point_xy), boxes).any()))
    return hits


def _ranking_ap(scores: Float32, tagged: Float32) -> float:
    """Return the average precision of images ranked by score."""
    return average_precision(scores, np.where(tagged > 0, HIT, MISS).astype(np.int8), int(tagged.sum()))
