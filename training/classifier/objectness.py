"""Where objects may be: what a compact SAM, which knows no classes, can tell a classifier that only has tags."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional

from models.bundle import DEFAULT_BUNDLE
from training.sam.trained import load_segmenter
from weaksam.errors import UserError

Objectness = Callable[[torch.Tensor], torch.Tensor]
# One position more on each side, since thin things have narrow maxima.
WINDOW = 3


def objectness_source(sam: Path) -> Path:
    """Return the segmenter itself if it has a prompt map, else the default bundle, whose compact SAM knows no classes.

    Args:
        sam: any segmenter that a bundle may have.
    """
    try:
        has_prompt_map = load_segmenter(sam).prompt_map is not None
    except UserError:
        return DEFAULT_BUNDLE
    return sam if has_prompt_map else DEFAULT_BUNDLE


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
    net = load_segmenter(sam).to(device)
    if net.prompt_map is None:
        raise UserError(f"objectness_from: {sam} has no prompt map, train it with prompt_map = true or leave it out")

    @torch.no_grad()
    def objectness(images: torch.Tensor) -> torch.Tensor:
        net.set_side(images.shape[1])
        logits = net.prompt_logits(net.encode(images)).float()
        return functional.max_pool2d(logits, WINDOW, stride=1, padding=WINDOW // 2)

    return objectness
