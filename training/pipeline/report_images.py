"""The report's images: how one test image went through the path, from class activation maps to the prediction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np

from models.bundle import CAM, Bundle
from models.image import read_image
from training.data.tagged import TaggedImage
from training.evaluation.lost_objects import detected_of
from training.metrics.hits import count_hits
from training.proposals.graph_runner import GraphRunner
from training.pseudo_labels.config import PseudoLabelConfig
from training.pseudo_labels.selection import label_image
from weaksam.arrays import Float32, ImageU8
from weaksam.formats.run_lengths import decode_rle
from weaksam.mask_schemas import Rle
from weaksam.tag_texts import fold_label

Json = dict[str, Any]
PANEL_PX = 320
FROM_PEAK, FROM_GRID, TRUE, FOUND, PEAK = (255, 170, 0), (120, 160, 255), (60, 200, 90), (230, 60, 50), (255, 0, 200)


@dataclass(frozen=True)
class Panel:
    """One step of the path on one image."""

    title: str
    image_hwc_u8: ImageU8


class Shown(NamedTuple):
    """A labelled box in pixels of the image, with its mask if there is one."""

    box_xyxy: Sequence[float]
    text: str
    mask: Rle | None


def image_score(image: TaggedImage, result: Json) -> float:
    """Return the F1 of the shown detections, 0 to 1: twice the hits at IoU 0.5 over detections and true objects.

    Difficult objects, and what was found of them, count neither way.
    """
    shown = [row for row in result["detections"] if row["shown"]]
    hits = misses = 0
    for label in {row["label"] for row in shown}:
        mine = [row for row in shown if row["label"] == label]
        things = [thing for thing in image.objects if fold_label(thing.label) == fold_label(label)]
        scores = np.array([row["score"] for row in mine], np.float32)
        count = count_hits(_boxes(row["box_xyxy"] for row in mine), scores, things)
        hits, misses = hits + count.hits, misses + count.misses
    return 2 * hits / max(1, hits + misses + sum(not thing.difficult for thing in image.objects))


def path_panels(
    runner: GraphRunner, image: TaggedImage, weak: Json, final: Json, pgt: PseudoLabelConfig
) -> list[Panel]:
    """Draw the panels of one image: maps, prompts, proposals, pseudo ground truth to be, prediction with truth.

    Args:
        runner: of the weak bundle.
        image: a test image, with its true objects.
        weak: the weak detector's result for the image and its tags, with explanation.
        final: the final bundle's.
        pgt: rule of pseudo ground truth.
    """
    image_hwc_u8 = read_image(image.path)
    scale = PANEL_PX / max(image.size_hw)
    small = _resized(image_hwc_u8, scale)
    explained = weak["explain"] or {"proposals": [], "tags": []}
    prompts, proposals = _faded(small), _faded(small)
    for peak in (peak for tag in explained["tags"] for peak in tag["peaks"]):
        _cross(prompts, peak["point_xy"], scale)
    for row in sorted(explained["proposals"], key=lambda row: row["from_peak"]):
        _rectangle(proposals, row["box_xyxy"], scale, FROM_PEAK if row["from_peak"] else FROM_GRID)
    kept = _pseudo_objects(runner.bundle, image, weak, pgt)
    return [
        Panel("CAM", _heat(runner, image, small)),
        Panel("prompts: peaks", prompts),
        Panel(f"{len(explained['proposals'])} proposals", proposals),
        Panel("PGT rule", _labelled(small, scale, kept, image)),
        Panel("prediction", _labelled(small, scale, _predicted(final), image)),
    ]


def _heat(runner: GraphRunner, image: TaggedImage, small: ImageU8) -> ImageU8:
    """Draw the strongest of the tagged classes' maps at each place, averaged over kinds, over the image."""
    letterbox, square = runner.letterboxed(image)
    (maps,) = runner.run(CAM, {"image": square}, ("maps",))
    tagged = maps[0][:, runner.bundle.labels.indices(image.tags)].mean(axis=0)  # [T,h,w]
    low, high = tagged.min(axis=(1, 2), keepdims=True), tagged.max(axis=(1, 2), keepdims=True)
    strongest = ((tagged - low) / np.maximum(high - low, 1e-6)).max(axis=0)
    side_px = letterbox.side_px
    full = cv2.resize(strongest, (side_px, side_px), interpolation=cv2.INTER_LINEAR)
    height, width = letterbox.valid_hw
    fitted = cv2.resize(full[:height, :width], small.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    coloured = cv2.applyColorMap(np.clip(fitted * 255, 0, 255).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
    return np.asarray(small * 0.45 + coloured * 0.55, np.uint8)


def _pseudo_objects(bundle: Bundle, image: TaggedImage, weak: Json, pgt: PseudoLabelConfig) -> list[Shown]:
    labelled = label_image(pgt, bundle, image, detected_of(weak, bundle), bundle.labels)
    return [Shown(thing.box_xyxy, bundle.labels.names[thing.label], None) for thing in labelled.objects]


def _predicted(final: Json) -> list[Shown]:
    shown = []
    for row in final["detections"]:
        if row["shown"]:
            mask: Rle | None = row["mask"] if row["mask"] and "counts" in row["mask"] else None
            shown.append(Shown(row["box_xyxy"], f"{row['label']} {row['score']:.2f}", mask))
    return shown


def _labelled(small: ImageU8, scale: float, shown: Sequence[Shown], image: TaggedImage) -> ImageU8:
    panel = _faded(small)
    for thing in shown:
        if thing.mask is not None:
            mask_u8 = decode_rle(thing.mask).astype(np.uint8)
            inside = cv2.resize(mask_u8, small.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0
            panel[inside] = (panel[inside] * 0.6 + np.array(FOUND) * 0.4).astype(np.uint8)
    for true in image.objects:
        _rectangle(panel, true.box_xyxy, scale, TRUE)
    for thing in shown:
        _rectangle(panel, thing.box_xyxy, scale, FOUND)
        place = (round(thing.box_xyxy[0] * scale), max(11, round(thing.box_xyxy[1] * scale) - 3))
        cv2.putText(panel, thing.text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.38, (255, 255, 255), 1, cv2.LINE_AA)
    return panel


def _faded(small: ImageU8) -> ImageU8:
    return np.asarray(small * 0.75, np.uint8)


def _rectangle(panel: ImageU8, box_xyxy: Sequence[float], scale: float, colour: tuple[int, int, int]) -> None:
    x0, y0, x1, y1 = (round(edge * scale) for edge in box_xyxy)
    cv2.rectangle(panel, (x0, y0), (x1 - 1, y1 - 1), colour, 1)


def _cross(panel: ImageU8, point_xy: Sequence[float], scale: float) -> None:
    place = (round(point_xy[0] * scale), round(point_xy[1] * scale))
    cv2.drawMarker(panel, place, PEAK, cv2.MARKER_CROSS, 13, 2)


def _resized(image_hwc_u8: ImageU8, scale: float) -> ImageU8:
    size_wh = (max(1, round(image_hwc_u8.shape[1] * scale)), max(1, round(image_hwc_u8.shape[0] * scale)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image_hwc_u8, size_wh, interpolation=interpolation), np.uint8)


def encode_jpeg(image_hwc_u8: ImageU8) -> bytes:
    """Encode RGB [H,W,3] as a JPEG file's bytes."""
    done, jpeg = cv2.imencode(".jpg", image_hwc_u8[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])
    assert done, "OpenCV writes any 8-bit image"
    return bytes(jpeg)


def _boxes(rows: Iterable[Any]) -> Float32:
    return np.array(list(rows), np.float32).reshape(-1, 4)
