"""Compares finished classifiers on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.bundle import CAM
from models.nets.cam_nets import AveragedCam, CamNet, build_cam_of_run
from models.nets.checkpoint_files import load_weights
from models.run_folder import Run, open_run
from training.classifier.report import measure_cam
from training.data.tagged import TaggedImage
from weaksam.errors import UserError


def compare_cams(
    runs: Sequence[Path], images: Sequence[TaggedImage], scales: Sequence[float], flip: bool
) -> dict[str, dict[str, Any]]:
    """Measure each run's classifier as `training.classifier.report.measure_cam` does, by the run's folder name.

    Args:
        runs: folders of finished `weaksam train cam`.
        images: with tags; figures of maps need boxes too.
        scales, flip: views that maps are averaged over, as for proposals in training.

    Raises:
        UserError: a folder holds no finished run, two have one name, or an image has a tag that a run never saw.
    """
    if len({run.name for run in runs}) < len(runs):
        raise UserError(f"run: folders need names of their own, got {', '.join(run.name for run in runs)}")
    return {run.name: _measure(run, images, scales, flip) for run in runs}


def _measure(run: Path, images: Sequence[TaggedImage], scales: Sequence[float], flip: bool) -> dict[str, Any]:
    opened = open_run(run, CAM)
    config, labels, net = opened.config, opened.labels, open_cam(opened)
    averaged = AveragedCam(net, config["side_px"], scales, flip) if flip or tuple(scales) != (1.0,) else net
    return {
        "architecture": config.get("architecture", "cnn"),
        "backbone": config["backbone"],
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        **measure_cam(averaged, images, labels, config["side_px"]),
    }


def open_cam(run: Run) -> CamNet:
    """Return a finished run's network in evaluation mode."""
    net = build_cam_of_run(run.config, len(run.labels))
    load_weights(net, run.checkpoint)
    return net.eval()
