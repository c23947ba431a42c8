"""Proposals of a data set on disk, one file for each image, made once for the same networks and settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.bundle import AVERAGED_CAM, CAM, PROPOSAL_GRAPHS
from models.bundle_files.manifest import load_bundle
from models.letterbox import Letterbox
from training.data.tagged import TaggedImage
from training.proposals.cam_overlap import cam_overlaps
from training.proposals.graph_runner import GraphRunner
from training.runs.image_digests import image_key
from training.runs.ranks import my_share, track_first, wait_for_ranks
from weaksam.files.atomic import replacing_bytes
from weaksam.files.damaged import read_arrays

FILE_VERSION = 2  # of what is kept of an image's proposals: files of another one are not read


@dataclass(frozen=True)
class StoredProposals:
    """Proposals of one image.

    Attributes:
        boxes_xyxy: [P,4] in pixels of `cam`'s input.
        predicted_iou: [P].
        cam_overlap: [P,C] with the activation map of each class, see `cam_overlaps`.
        tag_scores: [C].
    """

    boxes_xyxy: npt.NDArray[np.float32]
    predicted_iou: npt.NDArray[np.float32]
    cam_overlap: npt.NDArray[np.float32]
    tag_scores: npt.NDArray[np.float32]


def store_proposals(
    bundle_dir: Path, images: Sequence[TaggedImage], store_dir: Path, *, averaged: bool = False
) -> list[StoredProposals]:
    """Return proposals of every image, in order; images done by an earlier or killed run are read back.

    Ranks share the images: each makes its part, and all read all. Files are named by digests of what decides them: the
    bundle's graphs and settings, the image's bytes and tags.

    Args:
        bundle_dir: bundle that makes the proposals.
        images: with tags.
        store_dir: where files are kept.
        averaged: start from maps averaged over scales and flips, if the bundle has them: for images to learn from.
            Thresholds are picked on what is served, so not for those.
    """
    bundle = load_bundle(bundle_dir, PROPOSAL_GRAPHS)
    averaged = averaged and AVERAGED_CAM in bundle.graphs
    runner = GraphRunner(bundle)
    folder = store_dir / f"{bundle.inference_digest[:16]}-{FILE_VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    for image in track_first(my_share(images), "proposals"):
        _proposals_of(runner, image, folder, averaged)
    wait_for_ranks()
    return [_proposals_of(runner, image, folder, averaged) for image in images]


def _proposals_of(runner: GraphRunner, image: TaggedImage, folder: Path, averaged: bool) -> StoredProposals:
    key = image_key(image)
    path = folder / (f"{key}-averaged.npz" if averaged else f"{key}.npz")
    if not path.exists():
        _write(path, _propose(runner, image, averaged))
    return StoredProposals(**read_arrays(path))


def _propose(runner: GraphRunner, image: TaggedImage, averaged: bool) -> StoredProposals:
    indices = runner.bundle.labels.indices(image.tags)
    bundle = runner.bundle
    proposed = runner.propose(image, indices, averaged=averaged)
    proposals = proposed.proposal_set.proposals
    seen = Letterbox(image.size_hw, bundle.graphs[CAM].side_px)
    boxes_xyxy = Letterbox(image.size_hw, bundle.side_px).boxes_for(seen, proposals.boxes_xyxy)
    overlaps = cam_overlaps(proposed.maps_kchw, boxes_xyxy, seen.side_px, seen.valid_hw, bundle.map_kinds)
    return StoredProposals(boxes_xyxy, proposals.predicted_iou, overlaps, proposed.tag_scores)


def _write(path: Path, proposals: StoredProposals) -> None:
    with replacing_bytes(path) as file:
        np.savez(file, **vars(proposals))
