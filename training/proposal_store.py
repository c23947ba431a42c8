"""Proposals of a data set on disk, one file for each picture, made once for the same networks and settings."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.progress import track

from models.bundle import PROPOSAL_GRAPHS, load_bundle
from training.data.tagged import TaggedImage
from training.graph_runner import GraphRunner


@dataclass(frozen=True)
class StoredProposals:
    """Of one picture: ``boxes_xyxy`` [P,4] in input pixels, ``predicted_iou`` [P], ``tag_scores`` [C]."""

    boxes_xyxy: npt.NDArray[np.float32]
    predicted_iou: npt.NDArray[np.float32]
    tag_scores: npt.NDArray[np.float32]


def store_proposals(bundle_dir: Path, images: Sequence[TaggedImage], store_dir: Path) -> list[StoredProposals]:
    """Proposals of every picture, in order; pictures done by an earlier or killed run are read back.

    Files are named by the bundle's digest and the picture's path and tags, so a change of either makes them anew.
    """
    bundle = load_bundle(bundle_dir, PROPOSAL_GRAPHS)
    runner = GraphRunner(bundle)
    folder = store_dir / bundle.digest[:16]
    folder.mkdir(parents=True, exist_ok=True)
    return [_proposals_of(runner, image, folder) for image in track(images, "proposals")]


def _proposals_of(runner: GraphRunner, image: TaggedImage, folder: Path) -> StoredProposals:
    key = hashlib.sha256(f"{image.path.resolve()}|{image.tags}".encode()).hexdigest()[:24]
    path = folder / f"{key}.npz"
    if not path.exists():
        _write(path, _propose(runner, image))
    with np.load(path, allow_pickle=False) as stored:
        return StoredProposals(stored["boxes_xyxy"], stored["predicted_iou"], stored["tag_scores"])


def _propose(runner: GraphRunner, image: TaggedImage) -> StoredProposals:
    indices = [index for tag in image.tags if (index := runner.bundle.labels.index(tag)) is not None]
    picture, tag_scores = runner.propose(image, indices)
    return StoredProposals(picture.proposals.boxes_xyxy, picture.proposals.predicted_iou, tag_scores)


def _write(path: Path, proposals: StoredProposals) -> None:
    partial = path.with_suffix(".part")
    with partial.open("wb") as file:
        np.savez(file, **vars(proposals))
    partial.replace(path)
