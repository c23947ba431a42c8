"""The bundle: the one thing that crosses from training to serving, a folder of ONNX files with ``bundle.json``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from models.labels import LabelSet
from models.settings import PostSettings, PromptSettings
from weaksam.errors import UserError

MANIFEST = "bundle.json"
DEFAULT_BUNDLE = Path(__file__).parent / "default_bundle"
CAM, WSOD, DETECTOR = "cam", "wsod", "detector"
SAM_ENCODER, SAM_DECODER = "sam_encoder", "sam_decoder"
# `sam_decoder` without masks, from logits at half the side; where a bundle's settings ask for it.
SAM_BOXES = "sam_boxes"
SAM_GRAPHS = (SAM_ENCODER, SAM_DECODER)
DECODERS = (SAM_DECODER, SAM_BOXES)
PROPOSAL_GRAPHS = (CAM, *SAM_GRAPHS)
SERVED_GRAPHS = (*PROPOSAL_GRAPHS, WSOD)
CLASS_GRAPHS = (CAM, WSOD, DETECTOR)
# Mask logits of `detector`, and the rectangles that they lie over if these are not the boxes.
MASK_OUTPUTS = ("masks", "mask_frames")
# `cam` averaged over scales and flips, for training's proposals; if a bundle's settings ask for it.
AVERAGED_CAM = "cam_averaged"
PROMPT_MAP = "prompt_map"
# What `sam_decoder` takes besides outputs of `sam_encoder`.
PROMPT_INPUTS = ("coords", "labels", "valid_hw")
# Settings of the step to detections that change neither proposals nor scores.
NOT_OF_SCORES = ("mask_source", "box_mask_share", "effort")


class BundleError(UserError):
    """A bundle that cannot be used; the message names the file, the field and the remedy."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a graph; ``shape`` holds sizes and, for dynamic axes, their letters."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class GraphSpec:
    """One ONNX file of a bundle.

    Attributes:
        file: name inside the bundle's folder.
        sha256: digest of the file.
        side_px: side of the square image that the graph works on, letterboxed at the top left.
        fill_rgb: colour of the padding, zero after the graph's own normalisation.
        inputs: in the graph's order.
        outputs: in the graph's order.
        max_abs_difference: largest difference to torch that the export measured, by output. An output that jumps if a
            logit crosses a threshold, such as a mask's box, has the 75th percentile of its differences instead.
    """

    file: str
    sha256: str
    side_px: int
    fill_rgb: tuple[int, int, int]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_abs_difference: dict[str, float]


@dataclass(frozen=True)
class Thresholds:
    """Per class, in the order of the labels.

    Attributes:
        classifier: minimum classifier score at which a tag counts as seen.
        score: minimum score of a detection by `wsod` that is returned if the request gives none.
        detector: the same of the graph `detector`; empty in a bundle without one.
    """

    classifier: tuple[float, ...]
    score: tuple[float, ...]
    detector: tuple[float, ...] = ()


@dataclass(frozen=True)
class Bundle:
    """Everything that serving needs of a training: graphs, labels, thresholds and settings.

    Attributes:
        folder: where the files lie.
        name, version: as its maker calls it.
        digest: sha256 of ``bundle.json``, which holds the digests of all other files.
        labels: in the order of the graphs' class axis.
        graphs: by name, `CAM`, `WSOD` and so on; which are there decides what the bundle can do.
        map_kinds: names of the maps that `cam` returns, in their order.
        thresholds: calibrated per class.
        prompts: settings of the step from maps to proposals.
        post: settings of the step from scored proposals to detections.
        provenance: how the networks were trained, as plain JSON values.
    """

    folder: Path
    name: str
    version: str
    digest: str
    labels: LabelSet
    graphs: Mapping[str, GraphSpec]
    map_kinds: tuple[str, ...]
    thresholds: Thresholds
    prompts: PromptSettings
    post: PostSettings
    provenance: Mapping[str, Any]

    @cached_property
    def inference_digest(self) -> str:
        """Digest of what decides proposals and their scores: neither name nor version, nor how masks are drawn."""
        graphs = {name: [spec.sha256, spec.side_px, spec.fill_rgb] for name, spec in self.graphs.items()}
        post = {name: value for name, value in asdict(self.post).items() if name not in NOT_OF_SCORES}
        prompts = {name: value for name, value in asdict(self.prompts).items() if name != "budget_ms"}
        decisive = [self.labels.names, graphs, self.map_kinds, asdict(self.thresholds), prompts, post]
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()

    @cached_property
    def side_px(self) -> int:
        """Side of the segmenter's square input: peaks, prompts, proposals and detections are in its pixels."""
        return self.graphs[SAM_ENCODER].side_px

    @cached_property
    def decoder_features(self) -> tuple[str, ...]:
        """Outputs of `sam_encoder` that `sam_decoder` takes: the embedding, and finer maps if it wants any."""
        return tuple(t.name for t in self.graphs[SAM_DECODER].inputs if t.name not in PROMPT_INPUTS)

    @cached_property
    def encoder_outputs(self) -> tuple[str, ...]:
        """Outputs of `sam_encoder` that proposals need: the decoder's inputs, and the prompt map if there is one."""
        known = {tensor.name for tensor in self.graphs[SAM_ENCODER].outputs}
        return (*self.decoder_features, *((PROMPT_MAP,) if PROMPT_MAP in known else ()))

    @cached_property
    def proposal_decoder(self) -> str:
        """The graph that answers prompts where no mask is wanted."""
        return SAM_BOXES if SAM_BOXES in self.graphs else SAM_DECODER

    @cached_property
    def sam_graphs(self) -> tuple[str, ...]:
        """Names of the segmenter's graphs."""
        return tuple(name for name in (SAM_ENCODER, *DECODERS) if name in self.graphs)

    @cached_property
    def detector_masks(self) -> tuple[str, ...]:
        """Outputs of the graph `detector` that are masks and what these lie over; none if it has no masks."""
        graph = self.graphs.get(DETECTOR)
        return () if graph is None else tuple(tensor.name for tensor in graph.outputs if tensor.name in MASK_OUTPUTS)

    def path(self, graph: str) -> Path:
        """Return the path of a graph's ONNX file."""
        return self.folder / self.graphs[graph].file
