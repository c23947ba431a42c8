"""The graph `detector`: what to trace it with, and how to compare outputs whose number of rows may differ."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from deploy.export.onnx_graph import GraphPlan, Rows
from models.boxes import pairwise_iou
from models.bundle import DETECTOR
from models.nets.detectors.detector import Detector
from models.nets.graphs import DetectorGraph

STRIDE_PX = 32
SAME_IOU = 0.95


def detector_plan(net: Detector, images_bhwc_u8: npt.NDArray[np.uint8], classes: int) -> GraphPlan:
    """Return what to export a trained detector with.

    Args:
        net: trained; the scores of a random one are nearly equal, so that rounding decides what is kept.
        images_bhwc_u8: three [3,S,S,3] of the kind that it was trained on: noise shows no object.
        classes: C.
    """
    every = np.ones(classes, np.float32)
    every_other = (np.arange(classes) % 2 == 0).astype(np.float32)
    first, second, third = images_bhwc_u8[:, None]
    half_px = images_bhwc_u8.shape[1] // 2 // STRIDE_PX * STRIDE_PX
    if net.any_size:
        half_height, half_width = second[:, :half_px], third[:, :, :half_px]
        checks = [(second, every), (half_height, every_other), (half_width, every)]
    else:
        checks = [(second, every), (third, every_other)]
    return GraphPlan(
        name=DETECTOR,
        module=DetectorGraph(net),
        output_names=net.output_names,
        trace={"image": first, "allowed": every},
        checks=[{"image": image, "allowed": allowed} for image, allowed in checks],
        axes={name: {0: "D"} for name in net.output_names} | ({"image": {1: "H", 2: "W"}} if net.any_size else {}),
        pair=pair_detections,
        # Rounding may move a detection over a threshold: it then counts with all of its score.
        tolerances={"labels": 0.0, "scores": 0.5},
    )


def pair_detections(expected: Rows, found: Rows) -> tuple[Rows, Rows]:
    """Put the same detections in the same rows of both outputs (boxes, labels, scores, perhaps masks and frames).

    Detections are the same if labels agree and boxes overlap most, with an IoU of at least 0.95. One that only one
    side has stands on the other side with score 0, so that all of its score counts as difference. Rounding may move a
    detection over a threshold, or have the suppression keep another of two boxes that overlap, and that must show.
    """
    same = np.array(expected[1])[:, None] == np.array(found[1])[None]
    overlaps = pairwise_iou(np.array(expected[0], np.float32), np.array(found[0], np.float32)) * same
    pairs: list[tuple[int, int]] = []
    while overlaps.size and overlaps.max() >= SAME_IOU:
        row, column = np.unravel_index(int(overlaps.argmax()), overlaps.shape)
        pairs.append((int(row), int(column)))
        overlaps[row], overlaps[:, column] = 0, 0
    mine, others = [row for row, _ in pairs], [column for _, column in pairs]
    only_mine = [row for row in range(len(expected[1])) if row not in mine]
    only_others = [row for row in range(len(found[1])) if row not in others]
    absent_there = [values[only_mine] * (0 if i == 2 else 1) for i, values in enumerate(expected)]
    absent_here = [values[only_others] * (0 if i == 2 else 1) for i, values in enumerate(found)]
    left = [np.concatenate([v[mine], v[only_mine], a]) for v, a in zip(expected, absent_here, strict=True)]
    right = [np.concatenate([v[others], a, v[only_others]]) for v, a in zip(found, absent_there, strict=True)]
    return left, right
