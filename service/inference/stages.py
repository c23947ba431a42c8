"""The graphs of one request, called through a backend: pictures to features, proposals, scores and mask logits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.bundle import DETECTOR, PROMPT_MAP, SAM_DECODER, Bundle
from models.image import DecodedImage
from models.letterbox import Letterbox
from models.peaks import Peaks, find_peaks
from models.postprocess import detector_detections
from models.prompt_map import prompt_map_points
from models.prompts import DecodedBatch, PromptBatch, split_prompts
from models.proposals import ProposedPicture, Proposing, propose
from service.backends.base import Array, Backend, Tensors
from service.errors import BackendMismatch
from service.inference.stage_results import DetectorAnswer, Features, ScoredProposals
from service.observability.metrics import Metrics
from service.observability.timings import Timings

Float32 = npt.NDArray[np.float32]
ImageU8 = npt.NDArray[np.uint8]


class Stages:
    """Calls the graphs of `bundle`; numpy work of more than microseconds leaves the event loop.

    Raises BackendMismatch where the bundle does not say what sizes of runs the backend likes.
    """

    def __init__(self, bundle: Bundle, backend: Backend, metrics: Metrics) -> None:
        try:
            self._buckets = bundle.prompts.buckets_of(backend.kind)
        except ValueError as error:
            raise BackendMismatch(str(error)) from error
        self._bundle = bundle
        self._backend = backend
        self._metrics = metrics

    async def encode(self, image: DecodedImage, letterbox: Letterbox, timings: Timings) -> Features:
        """Run `cam` and `sam_encoder` at the same time, once each."""
        with timings.stage("letterbox"):
            image_bhwc_u8, segmented_bhwc_u8 = await asyncio.to_thread(self._squares, image, letterbox)
        cam, sam = await asyncio.gather(
            self._encode("cam", image_bhwc_u8, ("scores", "maps"), timings),
            self._encode("sam_encoder", segmented_bhwc_u8, self._bundle.encoder_outputs, timings),
        )
        return Features(image_bhwc_u8, cam["scores"][0], cam["maps"][0], sam["embedding"], sam.get(PROMPT_MAP))

    async def detect(
        self, features: Features, classes: Sequence[int], letterbox: Letterbox, timings: Timings
    ) -> DetectorAnswer:
        """Run `detector` for the given classes alone."""
        self._metrics.encode(DETECTOR)
        allowed = np.zeros(len(self._bundle.labels), np.float32)
        allowed[list(classes)] = 1
        masks = ("masks",) if self._bundle.post.mask_source == DETECTOR else ()
        inputs: Tensors = {"image": features.image_bhwc_u8, "allowed": allowed}
        with timings.stage(DETECTOR):
            answer = await self._backend.infer(DETECTOR, inputs, ("boxes", "labels", "scores", *masks))
        seen = Letterbox(letterbox.image_hw, self._bundle.graphs[DETECTOR].side_px)
        frames_xyxy = seen.boxes_for(letterbox, answer["boxes"])
        found = detector_detections(frames_xyxy, answer["scores"], answer["labels"], letterbox.valid_hw)
        return DetectorAnswer(found, frames_xyxy, answer.get("masks", np.zeros((0, 0, 0), np.float16)))

    async def propose_and_score(
        self, features: Features, classes: Sequence[int], letterbox: Letterbox, timings: Timings
    ) -> ScoredProposals:
        """Peaks of the given classes to proposals, and those to scores of all classes."""
        with timings.stage("proposals"):
            peaks = await asyncio.to_thread(
                find_peaks,
                features.maps_kchw,
                classes,
                letterbox.side_px,
                letterbox.valid_hw,
                self._bundle.prompts,
                self._bundle.map_kinds,
            )
            picture = await self._propose(features, peaks, letterbox)
        with timings.stage("wsod"):
            seen = Letterbox(letterbox.image_hw, self._bundle.graphs["wsod"].side_px)
            boxes_xyxy = letterbox.boxes_for(seen, picture.proposals.boxes_xyxy)
            scores, deltas = await self._score(features.image_bhwc_u8, boxes_xyxy)
        return ScoredProposals(peaks, picture, scores, deltas)

    async def decode_masks(
        self, embedding: Float32, prompts: Sequence[PromptBatch], letterbox: Letterbox
    ) -> list[tuple[Array, Float32]]:
        """Mask logits [M,4e,4e] and predicted IoU [M] of each single prompt, in their order."""
        answers: list[tuple[Array, Float32]] = [(np.empty(0), np.empty(0, np.float32))] * len(prompts)
        for points in {prompt.labels.shape[1] for prompt in prompts}:
            chosen = [i for i, prompt in enumerate(prompts) if prompt.labels.shape[1] == points]
            batch = PromptBatch(
                np.concatenate([prompts[i].coords for i in chosen]), np.concatenate([prompts[i].labels for i in chosen])
            )
            found = await self._decode(SAM_DECODER, embedding, batch, letterbox, ("logits", "iou"))
            for row, i in enumerate(chosen):
                answers[i] = found["logits"][row], found["iou"][row]
        return answers

    def _squares(self, image: DecodedImage, letterbox: Letterbox) -> tuple[ImageU8, ImageU8]:
        """Inputs [1,S,S,3] of the graphs that know classes and of the segmenter; mostly they are the same."""
        seen, segmented = self._bundle.graphs["cam"], self._bundle.graphs["sam_encoder"]
        square = letterbox.apply(image.image_hwc_u8, segmented.fill_rgb)[None]
        if (seen.side_px, seen.fill_rgb) == (segmented.side_px, segmented.fill_rgb):
            return square, square
        return Letterbox(image.size_hw, seen.side_px).apply(image.image_hwc_u8, seen.fill_rgb)[None], square

    async def _encode(
        self, model: str, image_bhwc_u8: npt.NDArray[np.uint8], outputs: Sequence[str], timings: Timings
    ) -> Tensors:
        self._metrics.encode(model)
        with timings.stage(model):
            return await self._backend.infer(model, {"image": image_bhwc_u8}, outputs)

    async def _propose(self, features: Features, peaks: Peaks, letterbox: Letterbox) -> ProposedPicture:
        points_xy = prompt_map_points(features.prompt_map_b1hw, letterbox, self._bundle.prompts)
        proposing = propose(peaks, letterbox.valid_hw, self._bundle.prompts, points_xy)
        step = await asyncio.to_thread(_advance, proposing, None)
        while isinstance(step, PromptBatch):
            decoder, outputs = self._bundle.proposal_decoder, ("boxes", "iou", "stability")
            answer = await self._decode(decoder, features.embedding, step, letterbox, outputs)
            step = await asyncio.to_thread(_advance, proposing, DecodedBatch(**answer))
        return step

    async def _decode(
        self, decoder: str, embedding: Float32, batch: PromptBatch, letterbox: Letterbox, outputs: Sequence[str]
    ) -> Tensors:
        runs = split_prompts(batch, self._buckets)
        self._metrics.prompts(len(batch))
        for run in runs:
            self._metrics.run_size(decoder, len(run))
        valid_hw = np.array(letterbox.valid_hw, np.float32)
        # All runs at once: small runs side by side are faster on a CPU than one after the other with more threads each,
        # and a server that batches can put them together again.
        answers = await asyncio.gather(
            *(
                self._backend.infer(
                    decoder,
                    {"embedding": embedding, "coords": run.coords, "labels": run.labels, "valid_hw": valid_hw},
                    outputs,
                )
                for run in runs
            )
        )
        return {name: np.concatenate([answer[name] for answer in answers])[: len(batch)] for name in outputs}

    async def _score(self, image_bhwc_u8: npt.NDArray[np.uint8], boxes_xyxy: Float32) -> tuple[Float32, Float32]:
        count, bucket = len(boxes_xyxy), self._bundle.prompts.proposal_bucket
        if not count:
            return np.zeros((0, len(self._bundle.labels)), np.float32), np.zeros((0, 1, 4), np.float32)
        padded = -(-count // bucket) * bucket
        boxes, valid = np.zeros((1, padded, 4), np.float32), np.zeros((1, padded), np.float32)
        boxes[0, :count], valid[0, :count] = boxes_xyxy, 1
        inputs: Tensors = {"image": image_bhwc_u8, "boxes": boxes, "valid": valid}
        self._metrics.run_size("wsod", padded)
        found = await self._backend.infer("wsod", inputs, ("scores", "deltas"))
        return found["scores"][0, :count], found["deltas"][0, :count]


def _advance(proposing: Proposing, answer: DecodedBatch | None) -> PromptBatch | ProposedPicture:
    # A thread cannot hand StopIteration to the event loop, so the end is an ordinary value.
    try:
        return next(proposing) if answer is None else proposing.send(answer)
    except StopIteration as stop:
        picture: ProposedPicture = stop.value
        return picture
