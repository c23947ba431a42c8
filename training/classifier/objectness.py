"""Where objects may be: what a compact SAM, which knows no classes, can tell a classifier that only has tags."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional

from training.sam.trained import load_segmenter
from weaksam.errors import UserError

Objectness = Callable[[torch.Tensor], torch.Tensor]
# One position more on each side, since thin things have narrow maxima.
WINDOW = 3


def load_objectness(sam: Path, device: torch.device) -> Objectness:
    """Return a function from images uint8 [B,S,S,3] to how likely each position is on an object, [B,1,S/8,S/8].

    It is the logit of the prompt map, widened by a position. Only its order has a meaning.

    Args:
        sam: folder of a bundle or of `weaksam train sam`.
        device: that it computes on.

    Raises:
        RunError, UserError: see `load_segmenter`.
        UserError: the segmenter has no prompt map.
    """
    if sam.is_file():
        raise UserError(f"objectness_from: {sam} is a published checkpoint, which has no prompt map: leave it out")
    net = load_segmenter(sam).to(device)
    if net.prompt_map is None:
        raise UserError(f"objectness_from: {sam} has no prompt map, train it with prompt_map = true or leave it out")

    @torch.no_grad()
    def objectness(images: torch.Tensor) -> torch.Tensor:
        net.set_side(images.shape[1])
        logits = net.prompt_logits(net.encode(images)).float()
        return functional.max_pool2d(logits, WINDOW, stride=1, padding=WINDOW // 2)

    return objectness
