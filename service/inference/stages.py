"""The graphs of one request, run on a backend: image to features, proposals, scores and mask logits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from models.bundle import CAM, DETECTOR, PROMPT_MAP, SAM_DECODER, SAM_ENCODER, WSOD, Bundle
from models.image import DecodedImage
from models.letterbox import Letterbox
from models.masks.levels import Look
from models.masks.zoom import shrink_for_zoom
from models.postprocess import detector_detections
from models.prompting.cam_boxes import cam_boxes
from models.prompting.peaks import Peaks, find_peaks
from models.prompting.prompt_map import prompt_map_points
from models.prompting.prompts import DecodedBatch, PromptBatch, split_prompts
from models.prompting.proposals import ProposalSet, Proposing, propose
from service.backends.base import Array, Backend, Tensors
from service.backends.run_sizes import run_sizes
from service.inference.prompt_budget import PromptBudget
from service.inference.stage_results import ClassMaps, DetectorOutput, GraphInputs, ScoredProposals, SegmenterFeatures
from service.observability.metrics import Metrics
from service.observability.timings import Timings
from weaksam.arrays import Float32


class Stages:
    """Runs the graphs of `bundle`. Numpy work of more than microseconds leaves the event loop.

    Raises:
        BackendMismatch: the bundle names no run sizes for this kind of backend.
    """

    def __init__(self, bundle: Bundle, backend: Backend, metrics: Metrics) -> None:
        self._buckets = run_sizes(bundle, backend.kind)
        self._bundle = bundle
        self._backend = backend
        self._metrics = metrics
        self._budget = PromptBudget(bundle.prompts)

    async def letterbox(self, image: DecodedImage, letterbox: Letterbox, timings: Timings) -> GraphInputs:
        """Return the image as the graphs take it."""
        with timings.stage("letterbox"):
            return await asyncio.to_thread(self._inputs, image, letterbox)

    async def shrink(self, image: DecodedImage, timings: Timings) -> npt.NDArray[np.uint8]:
        """Return the image at the size that parts of it are cut from."""
        with timings.stage("letterbox"):
            return await asyncio.to_thread(shrink_for_zoom, image.image_hwc_u8, self._bundle.side_px)

    async def enlarge(
        self, image_hwc_u8: npt.NDArray[np.uint8], letterbox: Letterbox, timings: Timings
    ) -> npt.NDArray[np.uint8]:
        """Return a part of the image as `sam_encoder` takes it, [S,S,3]."""
        with timings.stage("letterbox"):
            return await asyncio.to_thread(letterbox.apply, image_hwc_u8, self._bundle.graphs[SAM_ENCODER].fill_rgb)

    async def class_maps(self, inputs: GraphInputs, timings: Timings) -> ClassMaps:
        """Run `cam`."""
        output = await self._encode(CAM, inputs.classes_bhwc_u8, ("scores", "maps"), timings)
        return ClassMaps(output["scores"][0], output["maps"][0])

    async def segmenter_features(
        self, square_hwc_u8: npt.NDArray[np.uint8], letterbox: Letterbox, timings: Timings
    ) -> SegmenterFeatures:
        """Run `sam_encoder` on an image or a part of it, [S,S,3]."""
        tensors = await self._encode(SAM_ENCODER, square_hwc_u8[None], self._bundle.encoder_outputs, timings)
        of_decoder = {name: tensors[name] for name in self._bundle.decoder_features}
        look = Look(letterbox, square_hwc_u8, self._bundle.post.colour_weight)
        return SegmenterFeatures(look, of_decoder, tensors.get(PROMPT_MAP))

    async def detect(
        self, inputs: GraphInputs, classes: Sequence[int], letterbox: Letterbox, timings: Timings
    ) -> DetectorOutput:
        """Run `detector` for the given classes alone."""
        self._metrics.encode(DETECTOR)
        allowed = np.zeros(len(self._bundle.labels), np.float32)
        allowed[list(classes)] = 1
        masks = self._bundle.detector_masks if self._bundle.post.mask_source == "detector" else ()
        tensors: Tensors = {"image": inputs.classes_bhwc_u8, "allowed": allowed}
        with timings.stage(DETECTOR):
            output = await self._backend.infer(DETECTOR, tensors, ("boxes", "labels", "scores", *masks))
        seen = Letterbox(letterbox.image_hw, self._bundle.graphs[DETECTOR].side_px)
        boxes_xyxy = seen.boxes_for(letterbox, output["boxes"])
        found = detector_detections(boxes_xyxy, output["scores"], output["labels"], letterbox.valid_hw)
        frames_xyxy = seen.boxes_for(letterbox, output.get("mask_frames", output["boxes"]))
        return DetectorOutput(found, frames_xyxy, output.get("masks", np.zeros((0, 0, 0), np.float16)))

    async def propose_and_score(
        self,
        inputs: GraphInputs,
        class_maps: ClassMaps,
        segmenter: SegmenterFeatures,
        classes: Sequence[int],
        letterbox: Letterbox,
        timings: Timings,
        boxes_xyxy: Float32 | None,
        max_prompts: int,
    ) -> ScoredProposals:
        """Find peaks of the given classes, turn them into proposals, and score these for all classes.

        ``boxes_xyxy`` [B,4] in pixels of the segmenter's input become prompts too, best first. At most ``max_prompts``
        are asked.
        """
        with timings.stage("proposals"):
            peak_inputs = (
                class_maps.maps_kchw,
                classes,
                letterbox.side_px,
                letterbox.valid_hw,
                self._bundle.prompts,
                self._bundle.map_kinds,
            )
            peaks = await asyncio.to_thread(find_peaks, *peak_inputs)
            of_cam_xyxy = await asyncio.to_thread(cam_boxes, *peak_inputs)
            prompted_xyxy = of_cam_xyxy if boxes_xyxy is None else np.concatenate([boxes_xyxy, of_cam_xyxy])
            proposal_set = await self._propose(segmenter, peaks, letterbox, prompted_xyxy, max_prompts)
        with timings.stage("wsod"):
            seen = Letterbox(letterbox.image_hw, self._bundle.graphs[WSOD].side_px)
            seen_xyxy = letterbox.boxes_for(seen, proposal_set.proposals.boxes_xyxy)
            scores, deltas = await self._score(inputs.classes_bhwc_u8, seen_xyxy)
        return ScoredProposals(peaks, proposal_set, scores, deltas)

    async def decode_masks(
        self, segmenter: SegmenterFeatures, prompts: Sequence[PromptBatch], letterbox: Letterbox
    ) -> list[tuple[Array, Float32]]:
        """Return mask logits [M,4e,4e] and predicted IoU [M] of each single prompt, in their order."""
        decoded: list[tuple[Array, Float32]] = [(np.empty(0), np.empty(0, np.float32))] * len(prompts)
        for points in {prompt.labels.shape[1] for prompt in prompts}:
            same_length = [i for i, prompt in enumerate(prompts) if prompt.labels.shape[1] == points]
            batch = PromptBatch(
                np.concatenate([prompts[i].coords for i in same_length]),
                np.concatenate([prompts[i].labels for i in same_length]),
            )
            output = await self._decode(SAM_DECODER, segmenter, batch, letterbox, ("logits", "iou"))
            for row, i in enumerate(same_length):
                decoded[i] = output["logits"][row], output["iou"][row]
        return decoded

    def _inputs(self, image: DecodedImage, letterbox: Letterbox) -> GraphInputs:
        seen, segmented = self._bundle.graphs[CAM], self._bundle.graphs[SAM_ENCODER]
        square = letterbox.apply(image.image_hwc_u8, segmented.fill_rgb)[None]
        if (seen.side_px, seen.fill_rgb) == (segmented.side_px, segmented.fill_rgb):
            return GraphInputs(square, square, image.size_hw)
        classes_hwc_u8 = Letterbox(image.size_hw, seen.side_px).apply(image.image_hwc_u8, seen.fill_rgb)
        return GraphInputs(classes_hwc_u8[None], square, image.size_hw)

    async def _encode(
        self, model: str, image_bhwc_u8: npt.NDArray[np.uint8], outputs: Sequence[str], timings: Timings
    ) -> Tensors:
        self._metrics.encode(model)
        with timings.stage(model):
            return await self._backend.infer(model, {"image": image_bhwc_u8}, outputs)

    async def _propose(
        self,
        segmenter: SegmenterFeatures,
        peaks: Peaks,
        letterbox: Letterbox,
        boxes_xyxy: Float32,
        max_prompts: int,
    ) -> ProposalSet:
        async def decode(batch: PromptBatch) -> DecodedBatch:
            decoder, outputs = self._bundle.proposal_decoder, ("boxes", "iou", "stability")
            return DecodedBatch(**await self._decode(decoder, segmenter, batch, letterbox, outputs))

        affordable = await self._budget.limited(decode, letterbox.valid_hw)
        settings = replace(affordable, max_prompts=min(affordable.max_prompts, max_prompts))
        points_xy = prompt_map_points(segmenter.prompt_map_b1hw, letterbox, settings)
        proposing = propose(peaks, letterbox.valid_hw, settings, points_xy, boxes_xyxy)
        step = await asyncio.to_thread(_advance, proposing, None)
        while isinstance(step, PromptBatch):
            step = await asyncio.to_thread(_advance, proposing, await decode(step))
        return step

    async def _decode(
        self,
        decoder: str,
        segmenter: SegmenterFeatures,
        batch: PromptBatch,
        letterbox: Letterbox,
        outputs: Sequence[str],
    ) -> Tensors:
        runs = split_prompts(batch, self._buckets)
        self._metrics.prompts(len(batch))
        for run in runs:
            self._metrics.run_size(decoder, len(run))
        valid_hw = np.array(letterbox.valid_hw, np.float32)
        # All runs at once: on a CPU small runs side by side beat one run after the other with more threads each,
        # and a server that batches can join them again.
        decoded = await asyncio.gather(
            *(
                self._backend.infer(
                    decoder,
                    {**segmenter.tensors, "coords": run.coords, "labels": run.labels, "valid_hw": valid_hw},
                    outputs,
                )
                for run in runs
            )
        )
        return {name: np.concatenate([output[name] for output in decoded])[: len(batch)] for name in outputs}

    async def _score(self, image_bhwc_u8: npt.NDArray[np.uint8], boxes_xyxy: Float32) -> tuple[Float32, Float32]:
        count, bucket = len(boxes_xyxy), self._bundle.prompts.proposal_bucket
        if not count:
            return np.zeros((0, len(self._bundle.labels)), np.float32), np.zeros((0, 1, 4), np.float32)
        padded = -(-count // bucket) * bucket
        boxes, valid = np.zeros((1, padded, 4), np.float32), np.zeros((1, padded), np.float32)
        boxes[0, :count], valid[0, :count] = boxes_xyxy, 1
        inputs: Tensors = {"image": image_bhwc_u8, "boxes": boxes, "valid": valid}
        self._metrics.run_size(WSOD, padded)
        output = await self._backend.infer(WSOD, inputs, ("scores", "deltas"))
        return output["scores"][0, :count], output["deltas"][0, :count]


def _advance(proposing: Proposing, decoded: DecodedBatch | None) -> PromptBatch | ProposalSet:
    # A thread cannot hand StopIteration to the event loop, so the end is an ordinary value.
    try:
        return next(proposing) if decoded is None else proposing.send(decoded)
    except StopIteration as stop:
        proposal_set: ProposalSet = stop.value
        return proposal_set
