"""Speed and recall of our proposal stage, beside the reference's way with the same compact SAM."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.progress import track
from segment_anything import SamPredictor

from models.boxes import pairwise_iou
from models.bundle import Bundle
from models.bundle_files.manifest import load_bundle
from models.image import DecodedImage, decode_image
from models.letterbox import Letterbox
from models.prompting.peaks import Peaks
from service.inference.open_pipeline import create_pipeline
from service.inference.pipeline import Pipeline
from service.settings import load_settings
from tests.bench.bare_loop import BareLoop
from tests.bench.images import Sample
from tests.bench.segmenter.reference import (
    decode_by_graphs,
    decode_by_predictor,
    random_compact_sam,
    reference_proposals,
    sam_predictor,
)
from training.metrics.average_precision import recall_at
from weaksam.arrays import Float32
from weaksam.schemas import DetectOptions, Explanation

# Prompts in one run of the decoder where the reference's way is not timed.
UNTIMED_RUN = 8


@dataclass(frozen=True)
class WayResult:
    """One way's result for one image: seconds, None if not timed, and proposals in the upright image."""

    seconds: float | None
    boxes_xyxy: Float32


@dataclass(frozen=True)
class Reference:
    """What the reference's way needs: `predictor` is timed, `graphs` with trained weights give its results."""

    bundle: Bundle
    predictor: SamPredictor
    graphs: BareLoop


def measure_proposals(bundle_dir: Path, threads: int, data: dict[str, Sequence[Sample]], timed: int) -> dict[str, Any]:
    """Run both ways; return their times and ratio on some images, and recall of true boxes on all.

    Both ways have the same bound of proposals. Our time is that of the service's stage `proposals`, from maps to boxes;
    the reference's is from its first prompt to its boxes. Neither includes encoding the image, done once by each.
    A bundle holds no weights that torch could load. So the predictor is timed on a network of the same shapes, and its
    results come from the bundle's graphs.

    Args:
        bundle_dir: what is served; its compact SAM is of the default bundle's shapes.
        threads: of onnxruntime; 0 is one per core.
        data: images by name of their data set.
        timed: the first so many of each data set are timed; the reference takes many seconds for each.
    """
    bundle = load_bundle(bundle_dir)
    reference = Reference(bundle, sam_predictor(random_compact_sam(bundle.side_px)), BareLoop(bundle, threads))
    settings = load_settings(bundle=bundle_dir, cache_bytes=0, intra_op_threads=threads)
    rows: dict[str, list[tuple[WayResult, WayResult, Float32]]] = {name: [] for name in data}
    with asyncio.Runner() as runner:
        pipeline = create_pipeline(settings)
        for name, samples in data.items():
            runner.run(_ours(pipeline, decode_image(samples[0].data), samples[0].tags))  # warm-up
            for index, sample in enumerate(track(samples, f"proposals of {name}")):
                both = _both(runner, pipeline, reference, sample, index < timed)
                rows[name].append((*both, sample.boxes_xyxy))
        runner.run(pipeline.backend.aclose())
    return {
        "proposal_speedup": _speedup([row for found in rows.values() for row in found]),
        "max_proposals": bundle.prompts.max_proposals,
        "by_data": {name: _summary(found) for name, found in rows.items()},
    }


def _both(
    runner: asyncio.Runner, pipeline: Pipeline, reference: Reference, sample: Sample, timed: bool
) -> tuple[WayResult, WayResult]:
    image = decode_image(sample.data)
    before, explained = runner.run(_ours(pipeline, image, sample.tags))
    result = _by_reference(reference, image, explained, timed)
    seconds = (before + runner.run(_ours(pipeline, image, sample.tags))[0]) / 2 if timed else None
    boxes_xyxy = np.array([row.box_xyxy for row in explained.proposals], np.float32).reshape(-1, 4)
    return WayResult(seconds, boxes_xyxy), result


async def _ours(pipeline: Pipeline, image: DecodedImage, tags: tuple[str, ...]) -> tuple[float, Explanation]:
    options = DetectOptions(mask_format="none", explain=True, unknown_tags="skip")
    result = await pipeline.detect(image, tags, options)
    assert result.explain is not None, "it was asked for"
    return result.timing_ms["proposals"] / 1000, result.explain


def _by_reference(reference: Reference, image: DecodedImage, explained: Explanation, timed: bool) -> WayResult:
    letterbox = Letterbox(image.size_hw, reference.bundle.side_px)
    peaks, settings = _peaks(explained, letterbox), reference.bundle.prompts
    decode = decode_by_graphs(reference.bundle, reference.graphs, image.image_hwc_u8, letterbox)
    proposals = reference_proposals(decode, peaks, letterbox.valid_hw, settings, UNTIMED_RUN)
    seconds = None
    if timed:
        reference.predictor.set_image(image.image_hwc_u8)
        decode = decode_by_predictor(reference.predictor, letterbox)
        started_s = time.perf_counter()
        reference_proposals(decode, peaks, letterbox.valid_hw, settings)
        seconds = time.perf_counter() - started_s
    return WayResult(seconds, letterbox.boxes_to_image(proposals.boxes_xyxy))


def _peaks(explained: Explanation, letterbox: Letterbox) -> Peaks:
    """Return the peaks that our side started from, in pixels of the graph's input."""
    rows = [(row, label) for label, tag in enumerate(explained.tags) for row in tag.peaks]
    points_xy = np.array([row.point_xy for row, _ in rows], np.float32).reshape(-1, 2)
    return Peaks(
        letterbox.points_to_input(points_xy),
        np.array([label for _, label in rows], np.int64),
        np.array([row.value for row, _ in rows], np.float32),
    )


def _speedup(rows: Sequence[tuple[WayResult, WayResult, Float32]]) -> float:
    return round(_p50_s([theirs for _, theirs, _ in rows]) / _p50_s([ours for ours, _, _ in rows]), 2)


def _p50_s(results: Sequence[WayResult]) -> float:
    return median(result.seconds for result in results if result.seconds is not None)


def _summary(rows: Sequence[tuple[WayResult, WayResult, Float32]]) -> dict[str, Any]:
    truth = [boxes_xyxy for *_, boxes_xyxy in rows]
    return {
        "images": len(rows),
        "timed": sum(ours.seconds is not None for ours, _, _ in rows),
        "objects": sum(map(len, truth)),
        "speedup": _speedup(rows),
        "ours": _side([ours for ours, _, _ in rows], truth),
        "reference": _side([theirs for _, theirs, _ in rows], truth),
    }


def _side(results: Sequence[WayResult], truth: Sequence[Float32]) -> dict[str, Any]:
    best_ious = [
        pairwise_iou(boxes_xyxy, result.boxes_xyxy).max(axis=1, initial=0.0)
        for result, boxes_xyxy in zip(results, truth, strict=True)
    ]
    return {
        "p50_ms": round(1000 * _p50_s(results), 2),
        "proposals_per_image": round(float(np.mean([len(result.boxes_xyxy) for result in results])), 1),
        "recall": recall_at(np.concatenate(best_ious)),
    }
