"""What a trained detector finds in an image, run in torch: no bundle is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from models.boxes import nms
from models.bundle import DETECTOR
from models.config import config_from_values
from models.detections import Detections
from models.labels import LabelSet
from models.letterbox import Letterbox
from models.masks.drawing import paste_mask
from models.nets.backbone import MEAN_RGB
from models.nets.detectors.detector import Detector
from models.nets.detectors.output import DetectorTensors
from models.nets.detectors.settings import of_this_release
from models.postprocess import best_first, detector_detections
from models.run_folder import CONFIG, open_run
from training.detector.config import DetectorConfig
from training.detector.train import load_detector
from weaksam.arrays import ImageU8
from weaksam.formats.run_lengths import encode_rle
from weaksam.mask_schemas import Rle

Allowed = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TrainedDetector:
    """The network of a finished run, on the GPU if there is one."""

    net: Detector
    config: DetectorConfig
    labels: LabelSet


def open_detector(run_dir: Path) -> TrainedDetector:
    """Open a finished run of `train_detector`; raises RunError if it is not finished."""
    run = open_run(run_dir, DETECTOR)
    config = config_from_values(DetectorConfig, of_this_release(run.config), str(run_dir / CONFIG))
    net = load_detector(run.checkpoint, config, len(run.labels))
    net.to("cuda" if torch.cuda.is_available() else "cpu")
    return TrainedDetector(net, config, run.labels)


def detect_image(
    net: Detector, image_hwc_u8: ImageU8, side_px: int, allowed: Allowed, flip: bool = False
) -> Detections:
    """Return detections of the allowed classes [C] in pixels of the image, which the network sees at ``side_px``."""
    letterbox = _letterbox(image_hwc_u8, side_px)
    found = _run(net, image_hwc_u8[:, ::-1] if flip else image_hwc_u8, letterbox, allowed)
    boxes = found.boxes_xyxy.cpu().numpy()
    if flip:
        boxes[:, [0, 2]] = letterbox.valid_hw[1] - boxes[:, [2, 0]]
    return _detections(boxes, found, letterbox)


def detect_with_masks(
    net: Detector, image_hwc_u8: ImageU8, side_px: int, allowed: Allowed
) -> tuple[Detections, tuple[Rle, ...]]:
    """Return the detections of `detect_image`, and for each the network's own mask, of the image's size."""
    letterbox = _letterbox(image_hwc_u8, side_px)
    found = _run(net, image_hwc_u8, letterbox, allowed)
    detections = _detections(found.boxes_xyxy.cpu().numpy(), found, letterbox)
    corners_xy = found.mask_frames_xyxy.cpu().numpy().reshape(-1, 2, 2)
    frames_xyxy = letterbox.points_to_image(corners_xy).reshape(-1, 4)
    logits = found.masks.float().cpu().numpy()
    # one mask at a time: all masks of a large photograph at full size would take gigabytes
    masks = (paste_mask(logits[row], frames_xyxy[row], letterbox.image_hw) for row in detections.sources)
    return detections, tuple(encode_rle(mask_hw) for mask_hw in masks)


def detect_augmented(net: Detector, image_hwc_u8: ImageU8, sides_px: Sequence[int], allowed: Allowed) -> Detections:
    """Return what `detect_image` finds at each side and in mirror images, suppressed together class by class."""
    views = [(side_px, flip) for side_px in sides_px for flip in (False, True)]
    found = best_first([detect_image(net, image_hwc_u8, side_px, allowed, flip) for side_px, flip in views])
    of_classes = [found[found.labels == label] for label in np.unique(found.labels)]
    kept = [part[nms(part.boxes_xyxy, part.scores, net.settings.nms_iou)] for part in of_classes]
    return best_first(kept)[: net.settings.max_detections]


def _letterbox(image_hwc_u8: ImageU8, side_px: int) -> Letterbox:
    return Letterbox((image_hwc_u8.shape[0], image_hwc_u8.shape[1]), side_px)


def _run(net: Detector, image_hwc_u8: ImageU8, letterbox: Letterbox, allowed: Allowed) -> DetectorTensors:
    square = letterbox.apply(image_hwc_u8, MEAN_RGB)
    device = next(net.parameters()).device
    with torch.inference_mode():
        return net.detect(torch.from_numpy(square[None]).to(device), torch.from_numpy(allowed).to(device))


def _detections(boxes_xyxy: npt.NDArray[np.float32], found: DetectorTensors, letterbox: Letterbox) -> Detections:
    scores, labels = found.scores.cpu().numpy(), found.labels.cpu().numpy()
    cut = detector_detections(boxes_xyxy, scores, labels, letterbox.valid_hw)
    return replace(cut, boxes_xyxy=letterbox.boxes_to_image(cut.boxes_xyxy))
