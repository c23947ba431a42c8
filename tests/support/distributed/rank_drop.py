"""What a test starts on one rank or several: losses of queries and of RoIs with drop, on a batch made at random.

    python -m tests.support.distributed.rank_drop OUT        (or by torchrun, --nproc-per-node 2 -m ...)

Writes of each kind the gradient of the logits, as the mean of the ranks has it, and how many objects were dropped.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import torch
from torch import distributed
from transformers import DFineConfig

from models.nets.detectors.dfine_losses import dfine_losses
from models.nets.detectors.rcnn_losses import box_losses
from models.nets.detectors.settings import DropRule
from training.runs.devices import start_fabric
from training.runs.ranks import my_share, rank, rank_count

IMAGES, QUERIES, CLASSES, ROIS = 4, 6, 3, 24
CONFIG = DFineConfig(num_labels=CLASSES, decoder_layers=1, num_denoising=0)
RULE = DropRule("quantile", classification=0.4, regression=0.4, rpn=0.0)


def main(out: Path) -> None:
    start_fabric("32-true", 0)
    of_queries, of_rois = query_drop(), roi_drop()
    if rank() == 0:
        np.savez(out, queries=of_queries[0], dropped_queries=of_queries[1], rois=of_rois[0], dropped_rois=of_rois[1])


def query_drop() -> tuple[npt.NDArray[np.float32], int]:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(IMAGES, QUERIES, CLASSES, generator=generator).requires_grad_()
    boxes = torch.rand(IMAGES, QUERIES, 4, generator=generator) * 0.4 + 0.2
    targets = [
        {
            "class_labels": torch.randint(0, CLASSES, (1 + image,), generator=generator),
            "boxes": torch.rand(1 + image, 4, generator=generator) * 0.4 + 0.2,
        }
        for image in range(IMAGES)
    ]
    mine = list(my_share(range(IMAGES)))
    corners = torch.zeros(len(mine), 1, QUERIES, 4 * (CONFIG.max_num_bins + 1))
    output = SimpleNamespace(
        intermediate_logits=logits[mine, None].expand(-1, 2, -1, -1),
        intermediate_reference_points=boxes[mine, None].expand(-1, 2, -1, -1),
        intermediate_predicted_corners=corners,
        initial_reference_points=boxes[mine, None],
        enc_topk_logits=logits[mine],
        enc_topk_bboxes=boxes[mine],
        denoising_meta_values=None,
    )
    losses, matched = dfine_losses(output, [targets[image] for image in mine], CONFIG, RULE)
    return taught(logits, torch.stack(list(losses.values())).sum(), matched.dropped)


def roi_drop() -> tuple[npt.NDArray[np.float32], int]:
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn(ROIS, 1 + CLASSES, generator=generator).requires_grad_()
    deltas, labels = torch.randn(ROIS, 4, generator=generator), torch.arange(ROIS) % (1 + CLASSES)
    mine = list(my_share(range(ROIS)))
    found = box_losses(logits[mine], deltas[mine], labels[mine], torch.zeros(len(mine), 4), RULE)
    return taught(logits, found.classification, found.dropped)


def taught(logits: torch.Tensor, loss: torch.Tensor, dropped: torch.Tensor) -> tuple[npt.NDArray[np.float32], int]:
    """The gradient that the ranks' mean has, and how many were dropped in all."""
    torch.autograd.backward(loss)
    count = dropped.sum()
    assert logits.grad is not None
    if rank_count() > 1:
        distributed.all_reduce(logits.grad)
        distributed.all_reduce(count)
    return (logits.grad / rank_count()).numpy(), int(count)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
