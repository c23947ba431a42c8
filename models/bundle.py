"""The bundle: the one thing that crosses from training to serving, a folder of ONNX files with ``bundle.json``."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from models.config import config_from_values
from models.labels import Label, LabelSet
from models.settings import PostSettings, PromptSettings
from weaksam.errors import UserError
from weaksam.files.atomic import write_json

SCHEMA_VERSION = 1
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
OF_ANSWERS_ALONE = ("mask_source", "box_mask_share", "effort")
KNOWN_KINDS = re.compile(r"coarse|fine|cross_\d+_\d+")  # the last: a block and a head


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
        max_abs_difference: largest difference to torch that the export measured, by output. Of outputs that jump if a
            logit crosses a threshold, such as a mask's box, three quarters of the values differ by no more.
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
class Header:
    """The fields of ``bundle.json``, checked by type; `Bundle` holds them as the code uses them."""

    schema_version: int
    name: str
    version: str
    labels: tuple[Label, ...]
    graphs: dict[str, GraphSpec]
    map_kinds: tuple[str, ...]
    thresholds: Thresholds
    prompts: PromptSettings
    post: PostSettings
    provenance: dict[str, Any]


@dataclass(frozen=True)
class Bundle:
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
        post = {name: value for name, value in asdict(self.post).items() if name not in OF_ANSWERS_ALONE}
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
        """Outputs of `sam_encoder` that proposals need: the decoder's, and where to ask, if it has learnt that."""
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
        return self.folder / self.graphs[graph].file


def load_bundle(folder: Path, required: Sequence[str] = SERVED_GRAPHS) -> Bundle:
    """Read and verify a bundle: schema, fields, files and their digests.

    Args:
        folder: holds ``bundle.json``.
        required: graphs that must be there; a bundle for making proposals lacks the detector that learns from them.

    Raises:
        BundleError: naming the file or field that is wrong.
    """
    manifest = folder / MANIFEST
    try:
        text = manifest.read_text(encoding="utf-8")
        values = json.loads(text)
    except FileNotFoundError as error:
        raise BundleError(f"{manifest} does not exist: give the folder of an exported bundle") from error
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{manifest} cannot be read as JSON ({error}): export the bundle again") from error
    if not isinstance(values, dict) or values.get("schema_version") != SCHEMA_VERSION:
        found = values.get("schema_version") if isinstance(values, dict) else None
        raise BundleError(f"{manifest}: schema_version is {found!r}, this release reads {SCHEMA_VERSION}: export again")
    try:
        bundle = _bundle_of(values, folder, hashlib.sha256(text.encode()).hexdigest())
    except ValueError as error:
        raise BundleError(f"{error}: export the bundle again") from error
    _check(bundle, required)
    return bundle


def write_manifest(bundle: Bundle) -> None:
    """Write ``bundle.json`` for files already in ``bundle.folder``; its digest is computed when it is read."""
    values = {
        "schema_version": SCHEMA_VERSION,
        "name": bundle.name,
        "version": bundle.version,
        "labels": [asdict(label) for label in bundle.labels],
        "graphs": {name: asdict(spec) for name, spec in bundle.graphs.items()},
        "map_kinds": list(bundle.map_kinds),
        "thresholds": asdict(bundle.thresholds),
        "prompts": asdict(bundle.prompts),
        "post": asdict(bundle.post),
        "provenance": dict(bundle.provenance),
    }
    write_json(bundle.folder / MANIFEST, values)


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _bundle_of(values: Mapping[str, Any], folder: Path, digest: str) -> Bundle:
    header = config_from_values(Header, values, str(folder / MANIFEST))
    return Bundle(
        folder=folder,
        name=header.name,
        version=header.version,
        digest=digest,
        labels=LabelSet(header.labels),
        graphs=header.graphs,
        map_kinds=header.map_kinds,
        thresholds=header.thresholds,
        prompts=header.prompts,
        post=header.post,
        provenance=header.provenance,
    )


def _check(bundle: Bundle, required: Sequence[str]) -> None:
    missing = [name for name in required if name not in bundle.graphs]
    if missing:
        raise BundleError(f"{bundle.folder / MANIFEST}: graphs lacks {', '.join(missing)}: export the bundle again")
    # One letterboxed image goes to the segmenter's graphs, and one to those that know classes.
    for together in ((*SAM_GRAPHS, SAM_BOXES), CLASS_GRAPHS):
        for name in ("side_px", "fill_rgb"):
            values = {getattr(bundle.graphs[graph], name) for graph in together if graph in bundle.graphs}
            if len(values) > 1:
                raise BundleError(
                    f"{bundle.folder / MANIFEST}: {' and '.join(together)} differ in {name} {sorted(values)}: "
                    "export them together"
                )
    _check_features(bundle)
    _check_map_kinds(bundle)
    for name in ("classifier", "score", *(("detector",) if DETECTOR in bundle.graphs else ())):
        values = getattr(bundle.thresholds, name)
        if len(values) != len(bundle.labels) or not all(math.isfinite(value) for value in values):
            raise BundleError(
                f"{bundle.folder / MANIFEST}: thresholds.{name} must be {len(bundle.labels)} finite numbers, "
                f"one for each label, got {len(values)}"
            )
    if bundle.post.mask_source == "detector" and not bundle.detector_masks:
        raise BundleError(
            f"{bundle.folder / MANIFEST}: post.mask_source is 'detector', but no graph detector gives masks: "
            "export one with a mask head, or choose 'proposal' or 'box'"
        )
    for spec in bundle.graphs.values():
        _check_file(bundle.folder / spec.file, spec.sha256)


def _check_features(bundle: Bundle) -> None:
    """Check that `sam_encoder` gives, of one image, what `sam_decoder` takes."""
    if any(graph not in bundle.graphs for graph in SAM_GRAPHS):
        return
    given = {t.name: (t.dtype, t.shape[1:]) for t in bundle.graphs[SAM_ENCODER].outputs}
    taken = {t.name: (t.dtype, t.shape[1:]) for t in bundle.graphs[SAM_DECODER].inputs}
    for name in bundle.decoder_features:
        if given.get(name) != taken[name]:
            raise BundleError(
                f"{bundle.folder / MANIFEST}: sam_decoder takes {name} {taken[name]}, sam_encoder gives "
                f"{given.get(name, 'none')}: export them together"
            )


def _check_map_kinds(bundle: Bundle) -> None:
    where = f"{bundle.folder / MANIFEST}: map_kinds"
    for kind in bundle.map_kinds:
        if not KNOWN_KINDS.fullmatch(kind):
            raise BundleError(f"{where} names {kind!r}, known are coarse, fine and cross_<block>_<head>: export again")
    for tensor in bundle.graphs[CAM].outputs if CAM in bundle.graphs else ():
        if tensor.name == "maps" and tensor.shape[1] != len(bundle.map_kinds):
            raise BundleError(f"{where} names {len(bundle.map_kinds)} kinds, cam has {tensor.shape[1]}: export again")


def _check_file(path: Path, sha256: str) -> None:
    if not path.is_file():
        raise BundleError(f"{path} does not exist: the bundle is incomplete, copy or export it again")
    found = file_sha256(path)
    if found != sha256:
        raise BundleError(f"{path} has sha256 {found}, bundle.json says {sha256}: the file was changed or cut short")
