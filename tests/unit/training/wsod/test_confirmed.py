"""What the weak detector makes of objects that a person confirmed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from models.nets.wsod import RoiHead, build_wsod
from training.data.tagged import TaggedImage, TrueObject
from training.proposals.store import StoredProposals
from training.wsod.config import WsodConfig
from training.wsod.confirmed import add_confirmed_boxes
from training.wsod.losses import RoiBatch, WsodLosses
from training.wsod.roi_store import RoiExample

PROPOSALS = StoredProposals(
    np.array([[0, 0, 10, 10]], np.float32),
    np.full(1, 0.5, np.float32),
    np.full((1, 2), 0.25, np.float32),
    np.zeros(2, np.float32),
)
IMAGE = TaggedImage("a", Path("a.png"), (100, 200), ("Nut",), (TrueObject("Nut", (20.0, 40.0, 60.0, 100.0)),))
NUT_XYXY = torch.tensor([[20.0, 20, 40, 40]])


def config(method: Literal["oicr", "mist"]) -> WsodConfig:
    return WsodConfig(
        backbone="mobilenetv2_050",
        side_px=64,
        supervision="tags",
        score_power=1.0,
        prior_power=1.0,
        weigh_by_score=False,
        subsample=1,
        epochs=1,
        batch=1,
        lr=1e-3,
        weight_decay=0.0,
        warmup_steps=0,
        method=method,
    )


def example(*, confirmed: bool) -> RoiExample:
    """Three proposals: the nut, and two far from it, of which the last one has the best prior by far."""
    return RoiExample(
        pooled=torch.rand(3, 128, 7, 7, generator=torch.Generator().manual_seed(1)).half(),
        boxes_xyxy=torch.cat([NUT_XYXY, torch.tensor([[0.0, 0, 9, 9], [50, 50, 60, 60]])]),
        predicted_iou=torch.tensor([1e-6, 1e-6, 1.0]),
        cam_overlap=torch.ones(3, 2),
        tags=torch.tensor([1.0, 0.0]),
        true_boxes_xyxy=NUT_XYXY,
        true_labels=torch.zeros(1, dtype=torch.long),
        confirmed=torch.tensor(confirmed),
    )


def learnt_scores(head: RoiHead, settings: WsodConfig, given: RoiExample) -> list[float]:
    """Scores of the tag's class, of each proposal, after fifty steps on one image."""
    losses = WsodLosses(head, settings)
    optimizer = torch.optim.Adam(head.parameters(), lr=settings.lr)
    for _ in range(50):
        optimizer.zero_grad()
        torch.stack(list(losses(RoiBatch([given])).values())).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        scores: list[float] = head.eval().scores(head.embed_pooled(given.pooled.float()))[:, 0].tolist()
    return scores


@pytest.mark.parametrize("method", ["oicr", "mist"])
def test_a_confirmed_object_is_learnt_whatever_proposal_seems_best(method: Literal["oicr", "mist"]) -> None:
    best = {}
    for confirmed in (False, True):
        torch.manual_seed(0)
        head = build_wsod("mobilenetv2_050", 2, method=method, drop_share=0.0).head
        scores = learnt_scores(head, config(method), example(confirmed=confirmed))
        best[confirmed] = scores.index(max(scores))
    assert best == {False: 2, True: 0}


def test_confirmed_boxes_are_proposals_too() -> None:
    crowd = TrueObject("Nut", (0.0, 0.0, 99.0, 99.0), difficult=True)
    image = replace(IMAGE, objects=(*IMAGE.objects, crowd), confirmed=True)
    [stored] = add_confirmed_boxes([image], [PROPOSALS], side_px=100)
    assert stored.boxes_xyxy.tolist() == [[0, 0, 10, 10], [10, 20, 30, 50]], "an image of 200 px in an input of 100"
    assert (stored.predicted_iou.tolist(), stored.cam_overlap.tolist()) == ([0.5, 1.0], [[0.25, 0.25], [1.0, 1.0]])


@pytest.mark.parametrize("confirmed", [None, False])
def test_boxes_that_nobody_confirmed_are_not(confirmed: bool | None) -> None:
    assert add_confirmed_boxes([replace(IMAGE, confirmed=confirmed)], [PROPOSALS], side_px=100) == [PROPOSALS]


def test_a_confirmed_image_without_objects_keeps_its_proposals() -> None:
    empty = replace(IMAGE, tags=(), objects=(), confirmed=True)
    [stored] = add_confirmed_boxes([empty], [PROPOSALS], side_px=100)
    assert stored.boxes_xyxy.tolist() == PROPOSALS.boxes_xyxy.tolist()
