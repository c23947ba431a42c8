"""Trains the weakly supervised detector (WSDDN, OICR or MIST) on stored proposals, or its supervised twin."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models.bundle import CAM, PROPOSAL_GRAPHS, WSOD, Bundle
from models.bundle_files.manifest import load_bundle
from models.labels import LabelSet
from models.nets.cam_weights import PYRAMID, load_cam_weights
from models.nets.wsod import RoiHead, Wsod, build_wsod
from models.run_folder import REPORT, THRESHOLDS, weights_file
from training.data.tagged import TaggedImage, subsampled
from training.proposals.store import FILE_VERSION, StoredProposals, store_proposals
from training.runs.checkpoints import save_weights
from training.runs.devices import start_fabric
from training.runs.fit import StepOutput, Task, fit
from training.runs.inputs import files_digest, images_digest
from training.runs.ranks import is_first_rank, my_share, share_of_batch, wait_for_ranks
from training.runs.run_folder import prepare_run
from training.runs.stage import digest_of
from training.wsod.config import WsodConfig
from training.wsod.confirmed import add_confirmed_boxes
from training.wsod.losses import RoiBatch, WsodLosses, loss_weights
from training.wsod.report import report_wsod
from training.wsod.roi_store import EXAMPLE_VERSION, ExampleFile, pool_images, pool_quarters
from training.wsod.thresholds import choose_thresholds
from weaksam.errors import UserError
from weaksam.files.atomic import write_json

FEATURES = "roi_features"  # in a run's folder, until it is finished
VIEWS = 2  # examples of an image: as it is served, and as a quarter of a mosaic
MAX_GRADIENT_NORM = 5.0
LOG_STEPS = 50


def train_wsod(
    config: WsodConfig,
    cam_checkpoint: Path,
    proposal_bundle: Path,
    images: Sequence[TaggedImage],
    held_out: Sequence[TaggedImage],
    labels: LabelSet,
    store_dir: Path,
    out_dir: Path,
) -> Path:
    """Train the RoI head on frozen features of the CAM classifier, and return the checkpoint ``wsod.safetensors``.

    Writes the files of a run's folder, ``thresholds.json`` from the tags of ``held_out`` alone, and ``report.json``
    on ``held_out`` (`training.wsod.report`). Over several ranks each takes its share of every batch.

    Raises:
        UserError: inputs that do not fit together, or too few proposals to learn from.
    """
    fabric = start_fabric(config.precision, config.seed)
    bundle = load_bundle(proposal_bundle, PROPOSAL_GRAPHS)
    _require_fitting(bundle, config, labels)
    inputs = {
        "images": images_digest(images, labels, objects=config.supervision == "boxes"),
        "confirmed objects": images_digest([image for image in images if image.confirmed], labels, objects=True),
        "features": files_digest([cam_checkpoint]),
        "proposals": bundle.inference_digest,
    }
    prepare_run(config, out_dir, inputs, labels)
    net = _build(config, len(labels), cam_checkpoint).to(fabric.device)
    chosen = subsampled(images, config.subsample)
    stored = add_confirmed_boxes(
        chosen, store_proposals(proposal_bundle, chosen, store_dir, averaged=True), config.side_px
    )
    # Named by what it holds: a run that was killed while it pooled has no checkpoint that would refuse other settings.
    decisive = [FILE_VERSION, EXAMPLE_VERSION, inputs, config.side_px, config.subsample, config.seed]
    features = out_dir / FEATURES / digest_of(decisive)[:16]
    pool = partial(_pool_examples, net, chosen, stored, labels, config, features)
    _train_head(fabric, net.head, _count_steps(stored, config), pool, config, out_dir)
    stored = store_proposals(proposal_bundle, held_out, store_dir)
    folder = features / images_digest(held_out, labels)[:16]
    pooled = pool_images(net, held_out, stored, labels, config.side_px, folder)
    head = net.cpu().eval().head
    checkpoint = out_dir / weights_file(WSOD)
    save_weights(net, checkpoint)
    if is_first_rank():
        thresholds = choose_thresholds(head, held_out, stored, pooled, labels, config.method, bundle.post.quality_power)
        write_json(out_dir / THRESHOLDS, thresholds)
        held_out_examples = (example.read() for example in pooled)
        report = report_wsod(head, held_out, held_out_examples, labels, config.side_px, bundle.post)
        write_json(out_dir / REPORT, report)
        shutil.rmtree(out_dir / FEATURES)
    wait_for_ranks()
    return checkpoint


def _build(config: WsodConfig, classes: int, cam_checkpoint: Path) -> Wsod:
    net = build_wsod(config.backbone, classes, method=config.method, drop_share=config.mist.drop_share)
    load_cam_weights(net.features, cam_checkpoint, PYRAMID)
    return net.eval()


def _require_fitting(bundle: Bundle, config: WsodConfig, labels: LabelSet) -> None:
    # Stored proposals are in pixels of the bundle's classifier, and its tag scores in the order of its labels.
    side_px = bundle.graphs[CAM].side_px
    if side_px != config.side_px:
        raise UserError(f"side_px: is {config.side_px}, but the proposals' bundle has {side_px}: take one for both")
    if bundle.labels.names != labels.names:
        raise UserError(
            f"data: its labels are not those of the proposals' bundle {bundle.name}, or in another order: train both "
            "on the same folders, given in the same order"
        )


def _count_steps(stored: Sequence[StoredProposals], config: WsodConfig) -> int:
    """Return how many batches the examples fill in all epochs; raise UserError if not one."""
    usable = VIEWS * sum(len(proposals.boxes_xyxy) > 0 for proposals in stored)
    steps = config.epochs * usable // config.batch
    if not steps:
        raise UserError(
            f"data: {usable} of {VIEWS * len(stored)} examples have a proposal, too few for a step of batch = "
            f"{config.batch}: give more images, or lower grid_min_iou and grid_min_stability of the proposals' bundle"
        )
    return steps


def _pool_examples(
    net: Wsod,
    images: Sequence[TaggedImage],
    stored: Sequence[StoredProposals],
    labels: LabelSet,
    config: WsodConfig,
    folder: Path,
) -> list[ExampleFile]:
    """Return the `VIEWS` of each image that has proposals."""
    examples = pool_images(net, images, stored, labels, config.side_px, folder)
    examples += pool_quarters(net, images, stored, labels, config.side_px, config.seed, folder)
    return [example for example in examples if example.proposals]


def _train_head(
    fabric: Any,
    head: RoiHead,
    steps: int,
    pool: Callable[[], Sequence[ExampleFile]],
    config: WsodConfig,
    out_dir: Path,
) -> None:
    def batches(done: int) -> Iterator[RoiBatch]:
        examples = pool() if done < steps else []  # pooling takes long, and a finished run has removed its features
        return _batches(examples, config, range(done, steps), fabric.device)

    share_of_batch(config.batch, "batch")
    task = Task(
        name=f"{config.method} from {config.supervision}",
        net=head,
        module=WsodLosses(head, config),
        optimizer=torch.optim.AdamW(head.parameters(), lr=config.lr, weight_decay=config.weight_decay),
        steps=steps,
        batches=batches,
        compute=partial(_compute, config),
        loss_terms=config.loss_terms,
        loss_weights=loss_weights(config),
        max_gradient_norm=MAX_GRADIENT_NORM,
        log_steps=LOG_STEPS,
    )
    fit(fabric, task, config, out_dir)


def _batches(
    examples: Sequence[ExampleFile], config: WsodConfig, steps: range, device: torch.device
) -> Iterator[RoiBatch]:
    """Yield this rank's share of the batch of each step."""
    for step in steps:
        mine = my_share(_batch_indices(step, len(examples), config))
        yield RoiBatch([examples[i].read().to(device) for i in mine])


def _compute(config: WsodConfig, model: Any, batch: RoiBatch, step: int) -> StepOutput:
    torch.manual_seed(config.seed + step)  # dropout: a resumed run must draw what an unbroken one draws
    return StepOutput(model(batch))


def _batch_indices(step: int, count: int, config: WsodConfig) -> list[int]:
    """Return a step's examples from a permutation per epoch: seed and step decide, so that a resumed run agrees."""
    places = range(step * config.batch, (step + 1) * config.batch)
    return [int(_epoch_order(config.seed, place // count, count)[place % count]) for place in places]


@lru_cache(maxsize=2)  # a batch may end one epoch and begin the next
def _epoch_order(seed: int, epoch: int, count: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(count)
