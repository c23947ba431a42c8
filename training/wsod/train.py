"""The weakly supervised detector (WSDDN, OICR or MIST) on stored proposals, and its fully supervised twin."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from models.bundle import PROPOSAL_GRAPHS, Bundle, load_bundle
from models.labels import LabelSet
from models.labels_file import write_labels
from models.nets.wsod import Method, RoiHead, build_wsod
from models.settings import PostSettings
from training.data.tagged import TaggedImage
from training.data.tiles import tag_vector
from training.metrics.score_thresholds import (
    LEAST_THRESHOLD,
    LEAST_WSDDN_THRESHOLD,
    best_f1_threshold,
    tag_recall_threshold,
    thresholds_by_class,
)
from training.proposals.store import StoredProposals, store_proposals
from training.runs.engine import (
    JsonlLog,
    Precision,
    optimise,
    prepare_run,
    resume_checkpoint,
    save_checkpoint,
    scheduled_lr,
    set_lr,
    share_of_batch,
    start_fabric,
)
from training.runs.inputs import files_digest, pictures_digest
from training.runs.ranks import is_first_rank, my_share, track_first, wait_for_ranks
from training.runs.stage import digest_of
from training.wsod.mist import MistSettings, mist_losses
from training.wsod.oicr import SeedRule, box_supervised_losses, tag_supervised_losses, wsddn_loss
from training.wsod.report import report_wsod
from training.wsod.roi_store import ExampleFile, RoiExample, pool_pictures, pool_quarters

FEATURES = "roi_features"  # in a run's folder, until it is finished
MOST_GRADIENT_NORM = 5.0


@dataclass(frozen=True)
class WsodConfig:
    """Settings of `train_wsod`.

    Attributes:
        supervision: ``tags``, or ``boxes`` for the fully supervised twin: same network, pictures and schedule.
        score_power, prior_power, weigh_by_score: see `training.wsod.oicr.SeedRule`.
        every: learn from every n-th picture; neighbouring frames of one video look alike.
        epochs: rounds over all examples, ``batch`` of them a step.
        method: ``wsddn`` alone, or with the refinements of ``oicr`` or ``mist`` on top.
        mist: settings of ``mist``, see `training.wsod.mist.MistSettings`.

    Raises ValueError for ``wsddn`` from boxes: it has nothing that could learn from them.
    """

    backbone: str
    side_px: int
    supervision: Literal["tags", "boxes"]
    score_power: float
    prior_power: float
    weigh_by_score: bool
    every: int
    epochs: int
    batch: int
    lr: float
    weight_decay: float
    warmup_steps: int
    precision: Precision
    seed: int
    checkpoint_steps: int
    method: Method = "oicr"
    mist: MistSettings = field(default_factory=MistSettings)

    def __post_init__(self) -> None:
        if self.method == "wsddn" and self.supervision == "boxes":
            raise ValueError("supervision: WSDDN learns from tags alone; the twin takes method=oicr or method=mist")


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
    """Train the RoI head on frozen features of the CAM classifier; returns the checkpoint ``wsod.safetensors``.

    Writes beside it the settings, ``labels.json``, ``log.jsonl``, and of ``held_out`` ``thresholds.json``, chosen from
    its tags alone, and ``report.json``, see `training.wsod.report`. Under ``torchrun`` each rank takes its share of
    every batch.
    """
    fabric = start_fabric(config.precision, config.seed)
    bundle = load_bundle(proposal_bundle, PROPOSAL_GRAPHS)
    _require_fitting(bundle, config, labels)
    inputs = {
        "pictures": pictures_digest(images, labels, objects=config.supervision == "boxes"),
        "features": files_digest([cam_checkpoint]),
        "proposals": bundle.inference_digest,
    }
    prepare_run(config, out_dir, inputs)
    if is_first_rank():
        write_labels(labels, out_dir / "labels.json")
    net = build_wsod(config.backbone, len(labels), method=config.method, drop_share=config.mist.drop_share)
    net.features.load_state_dict(cam_features(cam_checkpoint))
    net.to(fabric.device).eval()
    chosen = images[:: config.every]
    stored = store_proposals(proposal_bundle, chosen, store_dir, averaged=True)
    # Named by what it holds: a run that was killed while it pooled has no checkpoint that would refuse other settings.
    features = out_dir / FEATURES / digest_of([inputs, config.side_px, config.every, config.seed])[:16]
    examples = pool_pictures(net, chosen, stored, labels, config.side_px, features)
    examples += pool_quarters(net, chosen, stored, labels, config.side_px, config.seed, features)
    _train_head(fabric, net.head, examples, config, out_dir)
    stored = store_proposals(proposal_bundle, held_out, store_dir)
    folder = features / pictures_digest(held_out, labels)[:16]
    pooled = pool_pictures(net, held_out, stored, labels, config.side_px, folder)
    net.cpu().eval()
    checkpoint = out_dir / "wsod.safetensors"
    if is_first_rank():
        save_file({key: value.contiguous() for key, value in net.state_dict().items()}, checkpoint)
        _look_at_held_out(net.head, held_out, stored, pooled, labels, config, bundle.post, out_dir)
        shutil.rmtree(out_dir / FEATURES)
    wait_for_ranks()
    return checkpoint


def _require_fitting(bundle: Bundle, config: WsodConfig, labels: LabelSet) -> None:
    """Stored proposals are in pixels of the bundle's classifier, and its tag scores in the order of its labels."""
    side_px = bundle.graphs["cam"].side_px
    if side_px != config.side_px:
        raise ValueError(f"side_px: is {config.side_px}, that of the proposals' bundle {side_px}: take one for both")
    if bundle.labels.names != labels.names:
        raise ValueError(
            f"data: its labels are not those of the proposals' bundle {bundle.name}, or in another order: train both "
            "on the same data, folders given in the same order"
        )


def cam_features(checkpoint: Path) -> dict[str, torch.Tensor]:
    """The feature pyramid's part of a CNN CAM's checkpoint; raises ValueError for one without, such as WeakTr's."""
    prefix = "features."
    state = load_file(checkpoint)
    features = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    if not features:
        raise ValueError(
            f"{checkpoint} has no feature pyramid: WeakTr gives maps and proposals, the detector's features come from "
            'a classifier trained with architecture = "cnn"'
        )
    return features


def _train_head(fabric: Any, head: RoiHead, examples: Sequence[ExampleFile], config: WsodConfig, out_dir: Path) -> None:
    raw_optimizer = torch.optim.AdamW(head.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    model, optimizer = fabric.setup(WsodLosses(head, config), raw_optimizer)
    done = resume_checkpoint(out_dir / "resume.pt", head, raw_optimizer)
    share_of_batch(config.batch, "batch")
    usable = [example for example in examples if example.proposals]
    steps = config.epochs * len(usable) // config.batch
    if not steps:
        raise ValueError(
            f"data: {len(usable)} of {len(examples)} examples have a proposal, too few for a step of batch = "
            f"{config.batch}: give more pictures, or lower grid_min_iou and grid_min_stability of the proposals' bundle"
        )
    log = JsonlLog(out_dir / "log.jsonl")
    model.train()
    for step in track_first(range(done, steps), f"{config.method} from {config.supervision}"):
        set_lr(optimizer, scheduled_lr(config.lr, step, steps, config.warmup_steps))
        torch.manual_seed(config.seed + step)  # dropout: a resumed run must draw what an unbroken one draws
        batch = [usable[i].read().to(fabric.device) for i in my_share(_batch_indices(step, len(usable), config))]
        losses = model(RoiBatch(batch))
        optimise(fabric, model, optimizer, losses, step, MOST_GRADIENT_NORM)
        if step % 50 == 0:
            log.write(step=step, **{name: loss.item() for name, loss in losses.items()})
        if (step + 1) % config.checkpoint_steps == 0:
            save_checkpoint(out_dir / "resume.pt", head, raw_optimizer, step + 1)


def _batch_indices(step: int, count: int, config: WsodConfig) -> list[int]:
    """Examples of a step: a permutation per epoch, a function of seed and step alone so that a resumed run agrees."""
    places = range(step * config.batch, (step + 1) * config.batch)
    orders = {
        epoch: np.random.default_rng([config.seed, epoch]).permutation(count)
        for epoch in {place // count for place in places}
    }
    return [int(orders[place // count][place % count]) for place in places]


class RoiBatch:
    """Pictures of one step. Of a type that Fabric hands on as it is: it refuses frozen dataclasses."""

    def __init__(self, examples: Sequence[RoiExample]) -> None:
        self.examples = examples


class WsodLosses(nn.Module):
    """The head with its losses in one forward pass, which is what gradients are averaged over ranks around."""

    def __init__(self, head: RoiHead, config: WsodConfig) -> None:
        super().__init__()
        self.head = head
        self._config = config

    def forward(self, given: RoiBatch) -> dict[str, torch.Tensor]:
        """Losses of the pictures, each term averaged over them."""
        batch = given.examples
        vectors = self.head.embed_pooled(torch.cat([example.pooled.float() for example in batch])).float()
        per_picture = torch.split(vectors, [len(example.boxes_xyxy) for example in batch])
        with torch.autocast(vectors.device.type, enabled=False):  # losses of half precision would be rough
            terms = [
                _picture_losses(self.head(rows), example, self._config)
                for rows, example in zip(per_picture, batch, strict=True)
            ]
        return {name: torch.stack([term[name] for term in terms]).mean() for name in terms[0]}


def _picture_losses(output: Any, example: RoiExample, config: WsodConfig) -> dict[str, torch.Tensor]:
    if config.supervision == "boxes":
        return box_supervised_losses(
            output, example.boxes_xyxy, example.tags, example.true_boxes_xyxy, example.true_labels
        )
    if config.method == "wsddn":
        return {"loss_wsddn": wsddn_loss(output.wsddn, example.tags)}
    rule = SeedRule(config.score_power, config.prior_power, config.weigh_by_score)
    if config.method == "mist":
        return mist_losses(output, example.boxes_xyxy, example.predicted_iou, example.tags, rule, config.mist)
    return tag_supervised_losses(output, example.boxes_xyxy, example.predicted_iou, example.tags, rule)


def _look_at_held_out(
    head: RoiHead,
    images: Sequence[TaggedImage],
    stored: Sequence[StoredProposals],
    examples: Sequence[ExampleFile],
    labels: LabelSet,
    config: WsodConfig,
    post: PostSettings,
    out_dir: Path,
) -> None:
    """Write ``thresholds.json`` and ``report.json``."""
    thresholds = _thresholds(head, images, stored, examples, labels, config, post.quality_power)
    report = report_wsod(head, images, (example.read() for example in examples), labels, config.side_px, post)
    for name, values in (("thresholds", thresholds), ("report", report)):
        (out_dir / f"{name}.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def _thresholds(
    head: RoiHead,
    images: Sequence[TaggedImage],
    stored: Sequence[StoredProposals],
    examples: Sequence[ExampleFile],
    labels: LabelSet,
    config: WsodConfig,
    quality_power: float,
) -> dict[str, list[float]]:
    best = np.stack([_best_scores(head, example.read(), quality_power) for example in examples])
    tags = np.stack([tag_vector(image.tags, labels) for image in images])
    tag_scores = np.stack([proposals.tag_scores for proposals in stored])
    least = LEAST_WSDDN_THRESHOLD if config.method == "wsddn" else LEAST_THRESHOLD
    return {
        "classifier": thresholds_by_class(tag_scores, tags, best_f1_threshold),
        "score": thresholds_by_class(best, tags, partial(tag_recall_threshold, least=least)),
    }


def _best_scores(head: RoiHead, example: RoiExample, quality_power: float) -> npt.NDArray[np.float32]:
    """The best detection score [C] of each class, as `models.postprocess.select_detections` weighs it.

    0 where a picture has no proposal.
    """
    if not len(example.boxes_xyxy):
        return np.zeros(len(example.tags), np.float32)
    with torch.no_grad():
        scores = head.scores(head.embed_pooled(example.pooled.float()))  # [P,C]
    best: npt.NDArray[np.float32] = (scores * example.predicted_iou[:, None] ** quality_power).amax(dim=0).numpy()
    return best
