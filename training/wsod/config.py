"""Settings of the weakly supervised detector's training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from models.nets.wsod_methods import REFINEMENTS, REGRESSORS, Method
from models.ranges import From0, Seed, Share, WholeFrom0, WholeFrom1
from training.runs.settings import Precision, check_loss_weights
from weaksam.errors import UserError


@dataclass(frozen=True)
class MistSettings:
    """What MIST adds to OICR.

    Attributes:
        seed_share: share of the proposals, the best ones of each tag, that its seeds are chosen from.
        seed_iou: a seed overlaps the better seeds of its tag by less than this.
        first_weight: of the first refinement's losses, classification and regression; the others count 1.
        drop_share: bound on the expected share of RoI cells that the concrete drop block drops; 0 is without it.
    """

    seed_share: Share = 0.15
    seed_iou: Share = 0.2
    first_weight: From0 = 3.0
    drop_share: Share = 0.3


@dataclass(frozen=True)
class WsodConfig:
    """Settings of `train_wsod`.

    Attributes:
        supervision: ``tags``, or ``boxes`` for the fully supervised twin: same network, images and schedule.
        score_power, prior_power, cam_power, weigh_by_score: see `training.wsod.oicr.SeedRule`.
        subsample: learn from every n-th image, and all confirmed ones; neighbouring frames of one video look alike.
        epochs: rounds over all examples, ``batch`` of them a step.
        method: ``wsddn`` alone, or with the refinements of ``oicr`` or ``mist``.
        mist: settings of ``mist``, see `MistSettings`.
        loss_weights: of loss terms by their names in the log; they win over those of ``mist``.

    Raises:
        UserError: ``wsddn`` from boxes, because it has nothing that could learn from them.
    """

    backbone: str
    side_px: WholeFrom1
    supervision: Literal["tags", "boxes"]
    score_power: From0
    prior_power: From0
    weigh_by_score: bool
    subsample: WholeFrom1
    epochs: WholeFrom1
    batch: WholeFrom1
    lr: From0
    weight_decay: From0
    warmup_steps: WholeFrom0
    precision: Precision = "32-true"
    seed: Seed = 7
    checkpoint_steps: WholeFrom1 = 500
    method: Method = "oicr"
    cam_power: From0 = 0.0
    mist: MistSettings = field(default_factory=MistSettings)
    loss_weights: dict[str, From0] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.method == "wsddn" and self.supervision == "boxes":
            raise UserError("supervision: WSDDN learns from tags alone; the twin takes method=oicr or method=mist")
        check_loss_weights(self.loss_weights, self.loss_terms)

    @property
    def loss_terms(self) -> tuple[str, ...]:
        """Names of the terms of `WsodLosses`. Only MIST from tags tells its regressors apart."""
        refinements = tuple(f"loss_refine_{number}" for number in range(1, REFINEMENTS[self.method] + 1))
        boxes = tuple(f"loss_box_{number}" for number in range(1, REGRESSORS[self.method] + 1))
        apart = self.method == "mist" and self.supervision == "tags"
        return ("loss_wsddn", *refinements, *(boxes if apart or not boxes else ("loss_box",)))
