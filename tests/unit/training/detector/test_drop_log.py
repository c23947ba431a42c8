from __future__ import annotations

import torch

from models.nets.detectors.targets import Foreground
from training.detector.drop_log import drop_figures

BOX = [0.0, 0.0, 10.0, 10.0]
FAR = [50.0, 50.0, 60.0, 60.0]
FOREGROUND = Foreground(
    images=torch.tensor([0, 0, 0, 1]),
    boxes_xyxy=torch.tensor([BOX, BOX, FAR, BOX]),
    labels=torch.tensor([1, 2, 1, 1]),
    losses=torch.tensor([[1.0, 1.0], [4.0, 5.0], [5.0, 15.0], [0.5, 0.0]]),
    dropped=torch.tensor([False, False, True, False]),
    dropped_anchors=torch.tensor(3),
)


def test_rois_are_counted_by_normalised_loss_and_judged_by_true_boxes() -> None:
    # Of the first picture a true box of label 1 is known; of the second nothing is.
    figures = drop_figures(
        FOREGROUND,
        [torch.tensor([BOX]), torch.zeros(0, 4)],
        [torch.tensor([1]), torch.zeros(0, dtype=torch.int64)],
    )
    assert (figures["foreground"], figures["dropped"], figures["dropped_anchors"]) == (4, 1, 3)
    # 2, 9, 20 and 0.5 out of 20.
    assert figures["rois_by_loss"] == [1, 1, 0, 0, 1, 0, 0, 0, 0, 1]
    assert figures["judged_by_loss"] == [0, 1, 0, 0, 1, 0, 0, 0, 0, 1]
    assert figures["wrong_by_loss"] == [0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    assert (figures["judged_dropped"], figures["wrong_dropped"]) == (1, 1)
    assert (figures["judged_kept"], figures["wrong_kept"]) == (2, 1)
    assert figures["foreground_loss"] == (2 + 9 + 20 + 0.5) / 4
    assert figures["largest_foreground_loss"] == 20


def test_a_step_without_foreground_has_empty_figures() -> None:
    columns = ("images", "boxes_xyxy", "labels", "losses", "dropped")
    nothing = FOREGROUND._replace(**{name: getattr(FOREGROUND, name)[:0] for name in columns})
    figures = drop_figures(nothing, [torch.zeros(0, 4)], [torch.zeros(0, dtype=torch.int64)])
    assert figures["foreground"] == figures["dropped"] == sum(figures["rois_by_loss"]) == 0
