"""The bundle's graphs, run in this process: how training uses exported networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

from models.bundle import AVERAGED_CAM, CAM, PROMPT_MAP, SAM_DECODER, SAM_ENCODER, WSOD, Bundle
from models.bundle_files.sessions import PROVIDERS, Device, open_session
from models.image import read_image
from models.letterbox import Letterbox
from models.prompting.cam_boxes import cam_boxes
from models.prompting.peaks import find_peaks
from models.prompting.prompt_map import prompt_map_points
from models.prompting.prompts import DecodedBatch, PromptBatch
from models.prompting.proposals import Proposals, ProposalSet, propose, run_proposing
from models.settings import PromptSettings
from training.data.tagged import TaggedImage
from training.runs.console import console
from training.runs.ranks import is_first_rank, local_rank, threads_of_rank

Arrays = Mapping[str, npt.NDArray[np.generic]]


class Proposed(NamedTuple):
    """What was proposed for one image, and the classifier's results that it rests on.

    Attributes:
        proposal_set: boxes in pixels of the segmenter's input.
        tag_scores: [C].
        maps_kchw: activation maps [K,C,h,w].
    """

    proposal_set: ProposalSet
    tag_scores: npt.NDArray[np.float32]
    maps_kchw: npt.NDArray[np.float32]


class GraphRunner:
    """One onnxruntime session for each graph of a bundle that is asked for.

    Args:
        bundle: whose graphs run.
        threads: threads within one operator; 0 takes those of `threads_of_rank`.
    """

    def __init__(self, bundle: Bundle, threads: int = 0) -> None:
        self.bundle = bundle
        self._options = onnxruntime.SessionOptions()
        self._options.intra_op_num_threads = threads or threads_of_rank()
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}
        # of the last image: its proposals, scores and masks are asked for one after the other
        self._opened: _OpenedImage | None = None
        self._features: tuple[Path, dict[str, npt.NDArray[np.float32]]] | None = None

    def run(self, graph: str, inputs: Arrays, outputs: Sequence[str]) -> list[npt.NDArray[np.float32]]:
        """Return the outputs of one graph in the order of ``outputs``."""
        if graph not in self._sessions:
            self._sessions[graph] = open_session(
                self.bundle.path(graph), self._options, inference_device(), local_rank()
            )
        answers: list[npt.NDArray[np.float32]] = self._sessions[graph].run(list(outputs), dict(inputs))
        return answers

    def letterboxed(self, image: TaggedImage, graph: str = CAM) -> tuple[Letterbox, npt.NDArray[np.uint8]]:
        """Return an image's geometry and a graph's input [1,S,S,3]; a segmenter's may differ from all others'."""
        spec = self.bundle.graphs[graph]
        letterbox = Letterbox(image.size_hw, spec.side_px)
        if self._opened is None or self._opened.path != image.path:
            self._opened = _OpenedImage(image.path, read_image(image.path))
        return letterbox, self._opened.square(letterbox, spec.fill_rgb)

    def decode(self, image: TaggedImage, prompts: PromptBatch, outputs: Sequence[str]) -> list[npt.NDArray[np.float32]]:
        """Return outputs for one image and one run of prompts, in the order of ``outputs``.

        Without ``logits`` among them, a graph that draws no masks may answer.
        """
        valid_hw = np.array(Letterbox(image.size_hw, self.bundle.side_px).valid_hw, np.float32)
        inputs = {"coords": prompts.coords, "labels": prompts.labels, "valid_hw": valid_hw}
        features = {name: self._encoded(image)[name] for name in self.bundle.decoder_features}
        decoder = SAM_DECODER if "logits" in outputs else self.bundle.proposal_decoder
        return self.run(decoder, {**features, **inputs}, outputs)

    def _encoded(self, image: TaggedImage) -> dict[str, npt.NDArray[np.float32]]:
        if self._features is None or self._features[0] != image.path:
            names, square = self.bundle.encoder_outputs, self.letterboxed(image, SAM_ENCODER)[1]
            tensors = self.run(SAM_ENCODER, {"image": square}, names)
            self._features = image.path, dict(zip(names, tensors, strict=True))
        return self._features[1]

    def propose(
        self,
        image: TaggedImage,
        class_indices: Sequence[int],
        settings: PromptSettings | None = None,
        *,
        averaged: bool = False,
    ) -> Proposed:
        """Return proposals of one image for the given classes.

        Args:
            image: file and size.
            class_indices: of the bundle.
            settings: None takes the bundle's own.
            averaged: take peaks and tag scores from maps averaged over scales and flips, if the bundle has such a
                graph.
        """
        letterbox, square = Letterbox(image.size_hw, self.bundle.side_px), self.letterboxed(image)[1]
        graph = AVERAGED_CAM if averaged and AVERAGED_CAM in self.bundle.graphs else CAM
        tag_scores, maps = self.run(graph, {"image": square}, ("scores", "maps"))
        settings = settings or self.bundle.prompts
        of_maps = (maps[0], class_indices, letterbox.side_px, letterbox.valid_hw, settings, self.bundle.map_kinds)
        peaks, boxes_xyxy = find_peaks(*of_maps), cam_boxes(*of_maps)

        def decode(batch: PromptBatch) -> DecodedBatch:
            return DecodedBatch(*self.decode(image, batch, ("boxes", "iou", "stability")))

        points_xy = prompt_map_points(self._encoded(image).get(PROMPT_MAP), letterbox, settings)
        proposing = propose(peaks, letterbox.valid_hw, settings, points_xy, boxes_xyxy)
        proposal_set = run_proposing(proposing, decode, settings.buckets_of("onnxruntime"))
        return Proposed(proposal_set, tag_scores[0], maps[0])

    def score(
        self, image: TaggedImage, proposals: Proposals
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return the weak detector's scores [P,C] and deltas [P,K,4] of at least one proposal of `propose`."""
        seen, square = self.letterboxed(image, WSOD)
        boxes_xyxy = Letterbox(image.size_hw, self.bundle.side_px).boxes_for(seen, proposals.boxes_xyxy)
        inputs: Arrays = {"image": square, "boxes": boxes_xyxy[None], "valid": np.ones((1, len(proposals)), np.float32)}
        scores, deltas = self.run(WSOD, inputs, ("scores", "deltas"))
        return scores[0], deltas[0]


class _OpenedImage:
    """An image that is decoded once, and its squares: graphs may want several sizes and colours of padding."""

    def __init__(self, path: Path, image_hwc_u8: npt.NDArray[np.uint8]) -> None:
        self.path = path
        self._image_hwc_u8 = image_hwc_u8
        self._squares: dict[tuple[int, tuple[int, int, int]], npt.NDArray[np.uint8]] = {}

    def square(self, letterbox: Letterbox, fill_rgb: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
        """Return the graph's input [1,S,S,3]."""
        asked = letterbox.side_px, fill_rgb
        if asked not in self._squares:
            self._squares[asked] = letterbox.apply(self._image_hwc_u8, fill_rgb)[None]
        return self._squares[asked]


@cache
def inference_device() -> Device:
    """Return where onnxruntime works: on a GPU if it was built for CUDA and torch sees one.

    Tell the user once if torch sees a GPU and onnxruntime does not: it would stand idle for days in silence.
    """
    gpu = torch.cuda.is_available()
    if gpu and PROVIDERS["cuda"] not in onnxruntime.get_available_providers():
        if is_first_rank():
            console.print(
                "onnxruntime has no CUDA here: proposals, pseudo ground truth and evaluation run on the CPU. For the "
                "GPU: pip uninstall onnxruntime, then pip install -e '.[gpu,train]'",
                style="yellow",
                highlight=False,
                soft_wrap=True,
            )
        return "cpu"
    return "cuda" if gpu else "cpu"
