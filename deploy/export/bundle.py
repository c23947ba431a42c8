"""Checkpoints to a bundle."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import nn

from deploy.export.detector_plan import detector_plan
from deploy.export.graph_plans import cam_plan, sam_boxes_plan, sam_decoder_plan, sam_encoder_plan, wsod_plan
from deploy.export.onnx_graph import ExportError, GraphPlan, export_graph
from deploy.export.sam_settings import licence_of
from deploy.export.sam_sources import SamSource, has_prompt_map
from models.bundle import AVERAGED_CAM, CAM, CLASS_GRAPHS, DETECTOR, MANIFEST, WSOD, Bundle, GraphSpec, Thresholds
from models.bundle_files.manifest import load_bundle, write_manifest
from models.config import config_from_values
from models.labels import LabelSet
from models.nets.cam_nets import AveragedCam, CamNet, build_cam_of_run
from models.nets.checkpoint_files import load_weights
from models.nets.compact_sam import CompactSam, build_compact_sam
from models.nets.detectors.build import build_detector
from models.nets.detectors.settings import DetectorSettings, of_this_release
from models.nets.published_sam.open_published import PublishedSam
from models.nets.wsod import build_wsod
from models.run_folder import CONFIG, SAM, SAMPLE_IMAGES, Run, open_run
from models.settings import BundleConfig
from weaksam.files.atomic import replacing_files
from weaksam.files.damaged import naming_damage
from weaksam.files.digests import file_sha256

CHECK_SEED = 20240212


ClassSource = Run | Bundle


def open_classes(path: Path) -> ClassSource:
    """Open the classifier to export: a training's folder, or a bundle, whose detectors come with it."""
    return load_bundle(path) if (path / MANIFEST).is_file() else open_run(path, CAM)


@dataclass(frozen=True)
class _Classes:
    """What knows the classes: graphs, and what of the manifest belongs to them."""

    labels: LabelSet
    graphs: Mapping[str, GraphSpec]
    map_kinds: tuple[str, ...]
    thresholds: Thresholds
    records: Mapping[str, Any]


def export_bundle(
    sam: SamSource, cam: ClassSource, wsod: Run | None, config: BundleConfig, out_dir: Path, detector: Run | None = None
) -> None:
    """Write a bundle of the given runs: all of it, or nothing if that fails.

    Without ``wsod`` it can make proposals only: that is what `weaksam train wsod` learns from. With ``detector`` that
    one is asked, and ``wsod`` looks for what it missed. If ``cam`` is a bundle, its classifier, detectors and
    thresholds are taken as they are, but for a ``wsod`` or ``detector`` that is given.

    Raises:
        ExportError: runs that do not fit together.
    """
    rng = np.random.default_rng(CHECK_SEED)
    with replacing_files(out_dir, MANIFEST) as draft:
        if isinstance(cam, Bundle):
            classes = _classes_of_bundle(cam, wsod, detector, draft, rng)
        else:
            classes = _classes_of_runs(cam, wsod, detector, config, draft, rng)
        bundle = Bundle(
            folder=draft,
            name=config.name,
            version=config.version,
            digest="",
            labels=classes.labels,
            graphs={**classes.graphs, **_sam_graphs(sam, config.half_size_boxes, draft, rng)},
            map_kinds=classes.map_kinds,
            thresholds=classes.thresholds,
            prompts=config.prompts,
            post=config.post,
            provenance=_provenance(sam, classes.records, config.licences),
        )
        write_manifest(bundle)


def _classes_of_bundle(
    bundle: Bundle, wsod: Run | None, detector: Run | None, out_dir: Path, rng: np.random.Generator
) -> _Classes:
    given = {name: run for name, run in ((WSOD, wsod), (DETECTOR, detector)) if run is not None}
    graphs = _copied_graphs(bundle, [name for name in CLASS_GRAPHS if name in bundle.graphs.keys() - given], out_dir)
    thresholds, side_px = bundle.thresholds, bundle.graphs[CAM].side_px
    _require_shared_side({run.folder.name: int(run.config["side_px"]) for run in given.values()} | {CAM: side_px})
    for run in given.values():
        _require_labels(run, bundle.labels)
    if wsod is not None:
        graphs[WSOD] = export_graph(_wsod_plan(wsod, len(bundle.labels), side_px, rng), out_dir, side_px)
        thresholds = replace(thresholds, score=tuple(wsod.thresholds["score"]))
    if detector is not None:
        graphs[DETECTOR] = export_graph(_detector_plan(detector, bundle.labels), out_dir, side_px)
        thresholds = replace(thresholds, detector=tuple(detector.thresholds["score"]))
    records = bundle.provenance.get("runs", {}) | {name: _run_record(run) for name, run in given.items()}
    return _Classes(bundle.labels, graphs, bundle.map_kinds, thresholds, records)


def _classes_of_runs(
    cam: Run, wsod: Run | None, detector: Run | None, config: BundleConfig, out_dir: Path, rng: np.random.Generator
) -> _Classes:
    labels = cam.labels
    runs = [run for run in (cam, wsod, detector) if run is not None]
    _require_shared_side({run.folder.name: int(run.config["side_px"]) for run in runs})
    for run in runs:
        _require_labels(run, labels)
    side_px = int(cam.config["side_px"])
    cam_net = build_cam_of_run(cam.config, len(labels))
    _load(cam_net, cam)
    plans = _class_plans(cam_net, wsod, config, len(labels), side_px, rng)
    if detector is not None:
        plans.append(_detector_plan(detector, labels))
    return _Classes(
        labels=labels,
        graphs={plan.name: export_graph(plan, out_dir, side_px) for plan in plans},
        map_kinds=cam_net.map_kinds,
        thresholds=_thresholds(wsod, detector, len(labels)),
        records={run.checkpoint.stem: _run_record(run) for run in runs},
    )


def _class_plans(
    cam_net: CamNet, wsod: Run | None, config: BundleConfig, classes: int, side_px: int, rng: np.random.Generator
) -> list[GraphPlan]:
    if wsod is None:
        plans = [cam_plan(cam_net, side_px, rng)]
        if config.averages_maps:
            averaged = AveragedCam(cam_net, side_px, config.map_scales, config.map_flip)
            plans.append(cam_plan(averaged, side_px, rng, AVERAGED_CAM))
        return plans
    return [cam_plan(cam_net, side_px, rng), _wsod_plan(wsod, classes, side_px, rng)]


def _wsod_plan(run: Run, classes: int, side_px: int, rng: np.random.Generator) -> GraphPlan:
    # runs of the first version have no method in their settings: it was OICR
    net = build_wsod(run.config["backbone"], classes, method=run.config.get("method", "oicr"))
    _load(net, run)
    return wsod_plan(net, side_px, rng)


def _require_labels(run: Run, labels: LabelSet) -> None:
    """Require equal labels; scores of a class stand at its place in the list, so the order counts as well."""
    if run.labels != labels:
        raise ExportError(
            f"{run.folder} has other labels than the classifier, or in another order: train both on the same data, "
            "folders given in the same order"
        )


def _detector_plan(run: Run, labels: LabelSet) -> GraphPlan:
    # runs of earlier versions name no architecture
    config = of_this_release(run.config)
    known = {field.name: config[field.name] for field in fields(DetectorSettings) if field.name in config}
    net = build_detector(config_from_values(DetectorSettings, known, str(run.folder / CONFIG)), len(labels))
    _load(net, run)
    samples = run.folder / SAMPLE_IMAGES
    with naming_damage(samples):
        images_bhwc_u8 = np.load(samples, allow_pickle=False)
    return detector_plan(net, images_bhwc_u8, len(labels))


def _sam_graphs(sam: SamSource, half_size_boxes: bool, out_dir: Path, rng: np.random.Generator) -> dict[str, GraphSpec]:
    if isinstance(sam, Bundle):
        return _copied_graphs(sam, sam.sam_graphs, out_dir)
    net = sam.net if isinstance(sam, PublishedSam) else _compact_sam(sam)
    plans = [sam_encoder_plan(net, rng), sam_decoder_plan(net, rng)]
    if half_size_boxes and isinstance(net, CompactSam):
        plans.append(sam_boxes_plan(net, rng))
    return {plan.name: export_graph(plan, out_dir, net.side_px) for plan in plans}


def _copied_graphs(bundle: Bundle, names: Sequence[str], out_dir: Path) -> dict[str, GraphSpec]:
    for name in names:
        shutil.copyfile(bundle.path(name), out_dir / bundle.graphs[name].file)
    return {name: bundle.graphs[name] for name in names}


def _compact_sam(run: Run) -> CompactSam:
    net = build_compact_sam(run.config["backbone"], run.config["side_px"], prompt_map=has_prompt_map(run))
    _load(net, run)
    return net


def _load(net: nn.Module, run: Run) -> None:
    net.eval()  # before anything runs it: in training mode each image would move the statistics of its batch norms
    load_weights(net, run.checkpoint)


def _require_shared_side(sides_px: Mapping[str, int]) -> None:
    if len(set(sides_px.values())) > 1:
        raise ExportError(f"side_px differs between the parts ({sides_px}): train them at one size")


def _thresholds(wsod: Run | None, detector: Run | None, classes: int) -> Thresholds:
    of_detector = () if detector is None else tuple(detector.thresholds["score"])
    if wsod is None:
        return Thresholds((0.5,) * classes, (0.0,) * classes, of_detector)
    values = wsod.thresholds
    return Thresholds(tuple(values["classifier"]), tuple(values["score"]), of_detector)


def _provenance(sam: SamSource, of_classes: Mapping[str, Any], licences: dict[str, str]) -> dict[str, Any]:
    records = dict(of_classes) | {SAM: _sam_record(sam)}
    return {
        "runs": records,
        "exported_with": {
            "torch": torch.__version__,
            "onnxruntime": onnxruntime.__version__,
            "python": platform.python_version(),
        },
        "licences": licences | _sam_licence(records[SAM]),
    }


def _sam_licence(record: Mapping[str, Any]) -> dict[str, str]:
    return licence_of(record["kind"]) if "checkpoint" in record else {}


def _sam_record(sam: SamSource) -> dict[str, Any]:
    if isinstance(sam, Bundle):
        record: dict[str, Any] = sam.provenance["runs"][SAM]
        return record
    if isinstance(sam, PublishedSam):
        return {"checkpoint": sam.path.name, "kind": sam.kind, "sha256": file_sha256(sam.path)}
    return _run_record(sam)


def _run_record(run: Run) -> dict[str, Any]:
    return {"config": _without_folders(run.config), **run.records()}


def _without_folders(value: Any) -> Any:
    """Settings with the names of files, not where they lay: a bundle travels, its maker's folders do not."""
    if isinstance(value, dict):
        return {key: _without_folders(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_folders(inner) for inner in value]
    return Path(value).name if isinstance(value, str) else value
