"""Batches for the compact SAM: generated images and photographs, with prompts and the masks they are to give."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset

from training.runs.ranks import share_of_batch
from training.sam.config import SamConfig
from training.sam.images.photographs import Domain, crop_view
from training.sam.images.views import View, shapes_view
from training.sam.prompt_map import prompt_map_targets
from training.sam.prompts import Prompt, box_prompt, group_prompt, point_prompt

MASK_STRIDE_PX = 2

Batch = dict[str, torch.Tensor]


class PromptedImages(Dataset[Batch]):
    """Image number i with prompts and their masks, a function of the seed, the sources and i alone.

    Args:
        config: whose seed, sizes and shares count.
        sources: domains of each of the config's sources.
        indices: of the images that are wanted.
    """

    def __init__(self, config: SamConfig, sources: Sequence[Sequence[Domain]], indices: range) -> None:
        self._config = config
        self._sources = sources
        self._indices = indices
        weights = np.array([config.shapes_weight, *(source.weight for source in config.sources)])
        self._shares = weights / weights.sum()

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, item: int) -> Batch:
        config, index = self._config, self._indices[item]
        step = index // config.batch_images
        side_px = config.side_px_at(step)
        rng = np.random.default_rng([config.seed, 1, index])
        view = self.view(rng, side_px)
        chosen = view.masks[rng.integers(len(view.masks), size=config.prompts_per_image)]
        # One rule for the whole batch: prompts of one batch must agree in their number of points.
        kind, corrected = prompt_kind(np.random.default_rng([config.seed, step]), config)
        prompts = [draw_prompt(rng, mask, kind, config.point_share) for mask in chosen]
        scale = np.float32(side_px / view.masks.shape[-1])
        heat, weight = prompt_map_targets(view.masks, side_px, complete=view.complete)
        sample = {
            "image": view.image_hwc_u8,
            "coords": scale * np.stack([coords for coords, _ in prompts]),
            "labels": np.stack([labels for _, labels in prompts]),
            "masks": np.stack([shrink_mask(mask, side_px // MASK_STRIDE_PX) for mask in chosen]),
            "corrected": np.full(len(prompts), corrected),
            "draws": rng.random(len(prompts), np.float32),
            "heat": heat,
            "heat_weight": weight,
        }
        return {name: torch.from_numpy(values) for name, values in sample.items()}

    def view(self, rng: np.random.Generator, side_px: int) -> View:
        """Return a generated image or one of a source's, by their weights."""
        source = int(rng.choice(len(self._shares), p=self._shares))
        if source == 0:
            return shapes_view(rng, side_px)
        return crop_view(rng, self._sources[source - 1], side_px, self._config.pasted_shapes_share)


def prompt_kind(rng: np.random.Generator, config: SamConfig) -> tuple[str, bool]:
    """Return the kind of a batch's prompts, `single`, `group`, `point` or `box`, and whether clicks correct it."""
    draw = rng.random()
    if draw < config.group_share:
        return "group", False
    if draw < config.group_share + config.correct_share:
        return ("point" if rng.random() < config.point_share else "box"), True
    return "single", False


def draw_prompt(rng: np.random.Generator, mask_hw: npt.NDArray[np.bool_], kind: str, point_share: float) -> Prompt:
    """Return coords [N,2] in the mask's pixels and labels [N]; `single` is a point or a box."""
    if kind == "group":
        return group_prompt(rng, mask_hw)
    if kind == "point" or (kind == "single" and rng.random() < point_share):
        return point_prompt(rng, mask_hw)
    return box_prompt(rng, mask_hw)


def shrink_mask(mask_hw: npt.NDArray[np.bool_], cells: int) -> npt.NDArray[np.float32]:
    """Return the share of each of ``cells`` x ``cells`` that a square mask covers: soft targets place an edge."""
    return np.asarray(cv2.resize(mask_hw.astype(np.float32), (cells, cells), interpolation=cv2.INTER_AREA), np.float32)


def sam_loader(config: SamConfig, sources: Sequence[Sequence[Domain]], done: int) -> DataLoader[Batch]:
    """Return the batches of a run from step ``done`` on, from the domains of each of the config's sources."""
    share = share_of_batch(config.batch_images, "batch_images")
    first, last = done * config.batch_images, config.steps * config.batch_images
    images = PromptedImages(config, sources, range(first, last))
    return DataLoader(images, share, num_workers=config.loader_workers)
