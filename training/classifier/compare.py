"""Finished classifiers side by side on the same pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from models.labels_file import read_labels
from models.nets.cam_nets import AveragedCam, CamNet, build_cam_of_run
from training.classifier.report import measure_cam
from training.data.tagged import TaggedImage


def compare_cams(
    runs: Sequence[Path], images: Sequence[TaggedImage], scales: Sequence[float], flip: bool
) -> dict[str, dict[str, Any]]:
    """Measure each run's classifier as `training.classifier.report.measure_cam` does, by the run's folder name.

    Args:
        runs: folders of finished `weaksam train cam`.
        images: with tags, and with boxes for what is said about maps.
        scales, flip: views that maps are averaged over, as in training's proposal stage.

    Raises:
        ValueError: a folder that holds no finished run, two of one name, or pictures with tags that a run never saw.
    """
    if len({run.name for run in runs}) < len(runs):
        raise ValueError(f"run: folders need names of their own, got {', '.join(run.name for run in runs)}")
    return {run.name: _measure(run, images, scales, flip) for run in runs}


def _measure(run: Path, images: Sequence[TaggedImage], scales: Sequence[float], flip: bool) -> dict[str, Any]:
    labels = read_labels(run / "labels.json")
    config, net = open_cam(run, len(labels))
    averaged = AveragedCam(net, config["side_px"], scales, flip) if flip or tuple(scales) != (1.0,) else net
    return {
        "architecture": config.get("architecture", "cnn"),
        "backbone": config["backbone"],
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        **measure_cam(averaged, images, labels, config["side_px"]),
    }


def open_cam(run: Path, classes: int) -> tuple[dict[str, Any], CamNet]:
    """A finished run's settings and its network in evaluation mode; raises ValueError where it is not finished."""
    checkpoint = run / "cam.safetensors"
    if not checkpoint.is_file():
        raise ValueError(f"{checkpoint} does not exist: finish `weaksam train cam` into {run} first")
    config: dict[str, Any] = json.loads((run / "config.json").read_text(encoding="utf-8"))
    net = build_cam_of_run(config, classes)
    net.load_state_dict(load_file(checkpoint))
    return config, net.eval()
