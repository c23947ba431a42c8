"""Checkpoints to a bundle."""

from __future__ import annotations

import json
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from safetensors.torch import load_file
from torch import nn

from deploy.graph_plans import cam_plan, sam_decoder_plan, sam_encoder_plan, wsod_plan
from deploy.onnx_graph import GraphPlan, export_graph
from models.bundle import DEFAULT_BUNDLE, MANIFEST, Bundle, GraphSpec, Thresholds, load_bundle, write_manifest
from models.labels_file import read_labels
from models.nets.cam import build_cnn_cam
from models.nets.compact_sam import build_compact_sam
from models.nets.wsod import build_wsod
from models.settings import PostSettings, PromptSettings

CHECK_SEED = 20240212
MAP_KINDS = ("coarse",)
SAM_GRAPHS = ("sam_encoder", "sam_decoder")
LICENCES = {
    "bundle": "Apache-2.0",
    "backbone": "MobileNetV2 ImageNet weights, Apache-2.0, fine-tuned",
    "photographs": "FOD-A, MIT (tags used, no picture included)",
}


class ExportError(ValueError):
    """A run that cannot be exported; the message names the file and the remedy."""


@dataclass(frozen=True)
class BundleConfig:
    """What a bundle holds beside its graphs."""

    name: str
    version: str
    prompts: PromptSettings
    post: PostSettings


@dataclass(frozen=True)
class Run:
    """The folder of a finished training: checkpoint, settings and what else it wrote."""

    folder: Path
    checkpoint: Path
    config: dict[str, Any]


def open_run(folder: Path, name: str) -> Run:
    """Read a training's folder; raises ExportError where its checkpoint or settings are missing."""
    checkpoint, config = folder / f"{name}.safetensors", folder / "config.json"
    for path in (checkpoint, config):
        if not path.is_file():
            raise ExportError(f"{path} does not exist: finish `weaksam train {name}` into {folder} first")
    return Run(folder, checkpoint, json.loads(config.read_text(encoding="utf-8")))


def open_sam(folder: Path | None) -> Run | Bundle:
    """The compact SAM to export: of a training's folder, or of a bundle (the default one where none is given).

    It knows no classes, so that every set of classes can be served with the same one.
    """
    folder = folder or DEFAULT_BUNDLE
    return load_bundle(folder, SAM_GRAPHS) if (folder / MANIFEST).is_file() else open_run(folder, "sam")


def export_bundle(sam: Run | Bundle, cam: Run, wsod: Run | None, config: BundleConfig, out_dir: Path) -> None:
    """Write a bundle of the given runs.

    Without ``wsod`` it can make proposals only: that is what `weaksam train wsod` learns from.

    Raises:
        ExportError: runs that do not fit together.
    """
    labels = read_labels(cam.folder / "labels.json")
    side_px = _shared_side(sam, cam, wsod)
    out_dir.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(CHECK_SEED)
    plans = _class_plans(cam, wsod, len(labels), side_px, rng)
    graphs = {plan.name: export_graph(plan, out_dir, side_px) for plan in plans}
    bundle = Bundle(
        folder=out_dir,
        name=config.name,
        version=config.version,
        digest="",
        labels=labels,
        graphs=graphs | _sam_graphs(sam, out_dir, rng),
        map_kinds=MAP_KINDS,
        thresholds=_thresholds(wsod, len(labels)),
        prompts=config.prompts,
        post=config.post,
        provenance=_provenance(sam, cam, wsod),
    )
    write_manifest(bundle)


def _class_plans(cam: Run, wsod: Run | None, classes: int, side_px: int, rng: np.random.Generator) -> list[GraphPlan]:
    cam_net = build_cnn_cam(cam.config["backbone"], classes)
    _load(cam_net, cam)
    if wsod is None:
        return [cam_plan(cam_net, side_px, rng)]
    wsod_net = build_wsod(wsod.config["backbone"], classes)
    _load(wsod_net, wsod)
    return [cam_plan(cam_net, side_px, rng), wsod_plan(wsod_net, side_px, rng)]


def _sam_graphs(sam: Run | Bundle, out_dir: Path, rng: np.random.Generator) -> dict[str, GraphSpec]:
    if isinstance(sam, Bundle):
        for name in SAM_GRAPHS:
            shutil.copyfile(sam.path(name), out_dir / sam.graphs[name].file)
        return {name: sam.graphs[name] for name in SAM_GRAPHS}
    net = build_compact_sam(sam.config["backbone"], sam.config["side_px"])
    _load(net, sam)
    plans = (sam_encoder_plan(net, rng), sam_decoder_plan(net, rng))
    return {plan.name: export_graph(plan, out_dir, net.side_px) for plan in plans}


def _load(net: nn.Module, run: Run) -> None:
    try:
        net.load_state_dict(load_file(run.checkpoint))
    except RuntimeError as error:
        raise ExportError(f"{run.checkpoint} is of another network than {run.folder / 'config.json'} says") from error


def _shared_side(sam: Run | Bundle, cam: Run, wsod: Run | None) -> int:
    sides = {run.folder.name: int(run.config["side_px"]) for run in (cam, wsod) if run is not None}
    sides["sam"] = sam.graphs["sam_encoder"].side_px if isinstance(sam, Bundle) else int(sam.config["side_px"])
    if len(set(sides.values())) > 1:
        raise ExportError(f"side_px differs between the parts ({sides}): train them at one size")
    return sides["sam"]


def _thresholds(wsod: Run | None, classes: int) -> Thresholds:
    if wsod is None:
        return Thresholds((0.5,) * classes, (0.0,) * classes)
    values = json.loads((wsod.folder / "thresholds.json").read_text(encoding="utf-8"))
    return Thresholds(tuple(values["classifier"]), tuple(values["score"]))


def _provenance(sam: Run | Bundle, cam: Run, wsod: Run | None) -> dict[str, Any]:
    records = {run.checkpoint.stem: _run_record(run) for run in (cam, wsod) if run is not None}
    records["sam"] = sam.provenance["runs"]["sam"] if isinstance(sam, Bundle) else _run_record(sam)
    return {
        "runs": records,
        "exported_with": {
            "torch": torch.__version__,
            "onnxruntime": onnxruntime.__version__,
            "python": platform.python_version(),
        },
        "licences": LICENCES,
    }


def _run_record(run: Run) -> dict[str, Any]:
    # Names of files, not where they lay: a bundle travels, its maker's folders do not.
    config = {key: Path(value).name if isinstance(value, str) else value for key, value in run.config.items()}
    record: dict[str, Any] = {"config": config}
    for name in ("environment", "report"):
        path = run.folder / f"{name}.json"
        if path.is_file():
            record[name] = json.loads(path.read_text(encoding="utf-8"))
    return record
