from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.labels import Label, LabelSet
from models.nets.wsod import POOLED_SIDE, RoiHead
from models.settings import PostSettings
from training.data.tagged import TaggedImage, TrueObject
from training.wsod.report import report_wsod
from training.wsod.roi_store import RoiExample

LABELS = LabelSet((Label("Nut"), Label("Bolt")))
SIDE_PX, CHANNELS = 64, 4
NUT_XYXY, BOLT_XYXY = (0.0, 0.0, 40.0, 40.0), (80.0, 20.0, 120.0, 60.0)  # in pixels of a picture of twice the side


class ScoresInFeatures(RoiHead):
    """Reads the scores of both classes from the first feature of the first two channels; moves no box."""

    def __init__(self) -> None:
        super().__init__(CHANNELS, len(LABELS), method="wsddn")

    def embed_pooled(self, pooled: torch.Tensor) -> torch.Tensor:
        return pooled[:, : len(LABELS), 0, 0]

    def scores(self, vectors: torch.Tensor, valid: torch.Tensor | None = None) -> torch.Tensor:
        return vectors


def _picture(*objects: TrueObject) -> TaggedImage:
    return TaggedImage("a", Path("a.png"), (2 * SIDE_PX, 2 * SIDE_PX), ("Nut",), objects)


def _example(scores: list[list[float]]) -> RoiExample:
    """Two proposals, exactly the nut and the bolt."""
    pooled = torch.zeros(2, CHANNELS, POOLED_SIDE, POOLED_SIDE)
    pooled[:, : len(LABELS)] = torch.tensor(scores)[:, :, None, None]
    boxes = torch.tensor([NUT_XYXY, BOLT_XYXY]) / 2
    nothing = torch.zeros(0)
    tags = torch.tensor([1.0, 0.0])
    return RoiExample(
        pooled.half(), boxes, torch.ones(2), torch.ones(2, 2), tags, nothing, nothing, confirmed=torch.tensor(False)
    )


@pytest.mark.parametrize(
    ("scores", "ap50", "corloc"),
    [
        pytest.param([[0.9, 0.1], [0.2, 0.8]], 1.0, 1.0, id="right"),
        pytest.param([[0.4, 0.1], [0.6, 0.8]], 0.5, 0.0, id="the-bolt-ranked-first"),
    ],
)
def test_boxes_are_compared_in_the_pictures_pixels(scores: list[list[float]], ap50: float, corloc: float) -> None:
    image = _picture(TrueObject("Nut", NUT_XYXY))
    report = report_wsod(ScoresInFeatures().eval(), [image], [_example(scores)], LABELS, SIDE_PX, PostSettings())
    assert report == {
        "images": 1,
        "ap50_tagged": ap50,
        "corloc": corloc,
        "per_class": {"Nut": {"ap50_tagged": ap50, "corloc": corloc}},
    }


def test_a_picture_without_proposals_misses_its_objects() -> None:
    example = _example([[0.9, 0.1], [0.2, 0.8]])
    empty = RoiExample(
        example.pooled[:0],
        example.boxes_xyxy[:0],
        example.predicted_iou[:0],
        example.cam_overlap[:0],
        example.tags,
        example.true_boxes_xyxy,
        example.true_labels,
        example.confirmed,
    )
    image = _picture(TrueObject("Nut", NUT_XYXY))
    report = report_wsod(RoiHead(CHANNELS, 2).eval(), [image], [empty], LABELS, SIDE_PX, PostSettings())
    assert (report["ap50_tagged"], report["corloc"]) == (0.0, 0.0)


def test_without_true_boxes_there_is_nothing_to_report() -> None:
    head = ScoresInFeatures().eval()
    example = _example([[0.9, 0.1], [0.2, 0.8]])
    for picture in (_picture(), _picture(TrueObject("Nut", NUT_XYXY, difficult=True))):
        assert report_wsod(head, [picture], [example], LABELS, SIDE_PX, PostSettings()) == {"images": 0}
