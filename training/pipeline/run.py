"""The whole path in one run: classifier, proposals, weak detector, pseudo ground truth, retraining, evaluation, bundle.

Every stage has a folder named by its settings and inputs (`training.runs.stage`); a finished one is skipped, an
unfinished one goes on from its last checkpoint.
"""

from __future__ import annotations

import difflib
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.bundle import CAM, DETECTOR, MANIFEST, PROPOSAL_GRAPHS, WSOD
from models.bundle_files.manifest import load_bundle
from models.run_folder import CONFIG, LABELS, THRESHOLDS, weights_file
from training.classifier.config import CamConfig
from training.classifier.objectness import objectness_source
from training.classifier.train import train_cam
from training.data.tagged import TaggedImage, subsampled
from training.detector.config import DetectorConfig
from training.detector.report import report_detector
from training.detector.train import train_detector
from training.evaluation.evaluate import evaluate, store_results
from training.evaluation.lost_objects import Chain
from training.pipeline.config import PipelineConfig
from training.pipeline.data import RunData, TestSplit, open_data
from training.pipeline.early_checks import check_stages
from training.pipeline.losses import checked_images, run_losses
from training.pipeline.report import Evaluated, ReportInputs, write_report
from training.pipeline.segmenter import Segmenter, find_segmenter
from training.pipeline.stages import ANSWERS, BUNDLE, EVALUATE, FEATURES, PGT, PROPOSALS, PROPOSER, SEGMENTER
from training.proposals.graph_runner import inference_device
from training.proposals.store import store_proposals
from training.pseudo_labels.config import PseudoLabelConfig
from training.pseudo_labels.dataset import ANNOTATIONS_JSON
from training.pseudo_labels.make import make_pseudo_labels_together
from training.pseudo_labels.selection import settled_rule
from training.runs.devices import start_fabric
from training.runs.image_digests import ImageDigests
from training.runs.inputs import segmenter_digest
from training.runs.ranks import is_first_rank, wait_for_ranks
from training.runs.run_folder import prepare_run
from training.runs.stage import DONE, Done, digest_of, run_stage
from training.wsod.train import train_wsod
from weaksam.errors import UserError
from weaksam.files.atomic import read_json, write_json

METRICS = "metrics.json"
LOSSES = "losses.json"


@dataclass(frozen=True)
class _Run:
    """What every stage of one run needs."""

    dir: Path
    config: PipelineConfig
    data: RunData
    digests: ImageDigests
    fit_digest: str
    val_digest: str
    segmenter: Segmenter


def run_pipeline(config: PipelineConfig, out_dir: Path) -> Path:
    """Run what is not done yet; returns the report ``report.html``, beside ``bundle/`` and the figures as JSON.

    Under ``torchrun`` or SLURM every rank calls it; ``out_dir`` must be a folder that all of them see.
    """
    start_fabric("32-true", config.seed)
    prepare_run(config, out_dir)
    wait_for_ranks()
    segmenter = find_segmenter(config)  # now, or a missing file would be noticed when the classifier is trained
    digests = ImageDigests(out_dir / "pictures.json")
    data = open_data(config.data, config.seed, out_dir, digests, config.test_limit)
    check_stages(config, len(data.labels))
    checked = [] if data.tests else checked_images(data.val, config.report.chosen)
    _require_known(config.report.chosen, [*checked, *(image for test in data.tests for image in test.images)])
    labels_digest = digest_of(list(data.labels.names))
    fit_digest, val_digest = (labels_digest + digests.of_images(images) for images in (data.fit, data.val))
    run = _Run(out_dir, config, data, digests, fit_digest, val_digest, segmenter)
    stages = {CAM: _cam(run, CAM, config.cam)}
    features = stages[CAM]
    if config.features is not None:
        features = stages[FEATURES] = _cam(run, FEATURES, config.features)
    proposer = _bundle(run, PROPOSER, {CAM: stages[CAM]})
    stages[WSOD] = _wsod(run, features, proposer, _proposals(run, proposer))
    parts = {CAM: stages[CAM], WSOD: stages[WSOD]}
    bundles = {WSOD: _bundle(run, f"{BUNDLE}-{WSOD}", parts)}
    rule = PseudoLabelConfig()
    if config.pgt is not None:
        pgt = stages[PGT] = _pgt(run, bundles[WSOD])
        rule = settled_rule(pgt.folder)
        for name, settings in ((DETECTOR, config.detector), (SEGMENTER, config.segmenter)):
            if settings is not None:
                stages[name] = _detector(run, name, settings, features, pgt)
                bundles[name] = _bundle(run, f"{BUNDLE}-{name}", parts | {DETECTOR: stages[name]})
    evaluated = [_evaluate(run, name, bundle, test) for test in data.tests for name, bundle in bundles.items()]
    if not data.tests:
        evaluated = [_show(run, name, bundle, checked) for name, bundle in bundles.items()]
    return _finish(run, stages, bundles, evaluated, rule)


def _require_known(named: Sequence[str], images: Sequence[TaggedImage]) -> None:
    ids = {image.id for image in images}
    for name in named:
        if name not in ids:
            nearest = ", ".join(difflib.get_close_matches(name, ids, n=3, cutoff=0.0))
            raise UserError(f"report.chosen: no image that can be shown has the id {name!r} (nearest: {nearest})")


def _cam(run: _Run, name: str, config: CamConfig) -> Done:
    inputs = {"fit": run.fit_digest, "val": run.val_digest}
    source = config.objectness_from
    if run.config.objectness_from_sam and config.architecture == "cnn":
        source = objectness_source(run.segmenter.path)
    if source is not None:
        inputs["objectness"] = segmenter_digest(source, "objectness_from")

    def make(folder: Path) -> None:
        train_cam(replace(config, objectness_from=source), run.data.fit, run.data.val, run.data.labels, folder)

    # The settings as they were given: the source counts by its digest, not by where the package is installed.
    return run_stage(run.dir, name, config, inputs, make, (weights_file(CAM), LABELS, CONFIG))


def _bundle(run: _Run, name: str, parts: Mapping[str, Done]) -> Done:
    config = run.config.bundle
    if config.post.mask_source == "detector" and name != f"{BUNDLE}-{SEGMENTER}":
        config = replace(config, post=replace(config.post, mask_source="proposal"))

    def make(folder: Path) -> None:
        if is_first_rank():
            run.segmenter.export(parts, config, folder)

    inputs = {part: done.digest for part, done in parts.items()} | {"sam": run.segmenter.digest}
    return run_stage(run.dir, name, config, inputs, make, (MANIFEST,))


def _inference_digest(bundle: Done) -> str:
    """Return what stages take from a bundle: another name or version of it does not make them anew."""
    return load_bundle(bundle.folder, PROPOSAL_GRAPHS).inference_digest


def _proposals(run: _Run, proposer: Done) -> Done:
    """Make proposals of the images that the weak detector uses; under several ranks, each makes its part."""
    subsample = run.config.wsod.subsample

    def make(folder: Path) -> None:
        store_proposals(proposer.folder, subsampled(run.data.fit, subsample), folder, averaged=True)
        store_proposals(proposer.folder, run.data.val, folder)

    inputs = {"bundle": _inference_digest(proposer), "fit": run.fit_digest, "val": run.val_digest}
    return run_stage(run.dir, PROPOSALS, {"subsample": subsample}, inputs, make)


def _wsod(run: _Run, features: Done, proposer: Done, proposals: Done) -> Done:
    def make(folder: Path) -> None:
        train_wsod(
            run.config.wsod,
            features.folder / weights_file(CAM),
            proposer.folder,
            run.data.fit,
            run.data.val,
            run.data.labels,
            proposals.folder,
            folder,
        )

    inputs = {"features": features.digest, "proposals": proposals.digest, "bundle": _inference_digest(proposer)}
    products = (weights_file(WSOD), THRESHOLDS, CONFIG)
    return run_stage(run.dir, WSOD, run.config.wsod, inputs, make, products)


def _pgt(run: _Run, bundle: Done) -> Done:
    config = run.config.pgt
    assert config is not None, "the caller checks"
    settings = replace(config, masks=config.masks or run.config.segmenter is not None)

    def make(folder: Path) -> None:
        make_pseudo_labels_together(settings, bundle.folder, run.data.fit, run.data.labels, folder)

    inputs = {"bundle": _inference_digest(bundle), "fit": run.fit_digest}
    return run_stage(run.dir, PGT, settings, inputs, make, (ANNOTATIONS_JSON,))


def _detector(run: _Run, name: str, config: DetectorConfig, features: Done, pgt: Done) -> Done:
    if run.config.heads_from_cam:
        config = replace(config, cam_checkpoint=features.folder / weights_file(CAM))

    def make(folder: Path) -> None:
        train_detector(config, run.data.fit, run.data.labels, [pgt.folder / ANNOTATIONS_JSON], folder)
        if is_first_rank():
            report_detector(folder, run.data.val)

    inputs = {"pgt": pgt.digest, "fit": run.fit_digest, "val": run.val_digest}
    return run_stage(run.dir, name, config, inputs, make, (weights_file(DETECTOR), THRESHOLDS, CONFIG))


def _evaluate(run: _Run, name: str, bundle: Done, test: TestSplit) -> Evaluated:
    limit = run.config.test_limit

    def make(folder: Path) -> None:
        report = evaluate(
            bundle.folder, test.folder, test.split, limit, results_dir=folder / "answers", device=inference_device()
        )
        if is_first_rank():
            write_json(folder / METRICS, report)

    inputs = {"bundle": bundle.digest, "pictures": run.digests.of_images(test.images)}
    done = run_stage(run.dir, f"{EVALUATE}-{name}", {"limit": limit}, inputs, make, (METRICS,))
    metrics = read_json(done.folder / METRICS)
    return Evaluated(name, test.name, test.images, done.folder / "answers", metrics)


def _show(run: _Run, name: str, bundle: Done, images: Sequence[TaggedImage]) -> Evaluated:
    """Store results of images for the report alone, if there is nothing to measure on."""

    def make(folder: Path) -> None:
        store_results(load_bundle(bundle.folder), images, folder / "answers", device=inference_device())

    inputs = {"bundle": bundle.digest, "pictures": run.digests.of_images(images)}
    done = run_stage(run.dir, f"{ANSWERS}-{name}", {}, inputs, make)
    return Evaluated(name, run.config.data.val, images, done.folder / "answers", {})


def _finish(
    run: _Run,
    stages: Mapping[str, Done],
    bundles: Mapping[str, Done],
    evaluated: list[Evaluated],
    rule: PseudoLabelConfig,
) -> Path:
    """Gather bundle, figures and report at the top of the run's folder."""
    path = run.dir / "report.html"
    if is_first_rank():
        final = list(bundles)[-1]
        _replace_folder(bundles[final].folder, run.dir / "bundle")
        metrics: dict[str, dict[str, Any]] = {}
        for entry in (entry for entry in evaluated if entry.metrics):
            metrics.setdefault(entry.data, {})[entry.bundle] = entry.metrics
        write_json(run.dir / METRICS, metrics)
        losses = _losses(run, stages, bundles[final], evaluated, rule)
        write_json(run.dir / LOSSES, losses)
        inputs = ReportInputs(
            run_dir=run.dir,
            config=run.config,
            stages={name: done.folder for name, done in stages.items()},
            weak_bundle=bundles[WSOD].folder,
            evaluated=evaluated,
            pgt_rule=rule,
            images_of=Counter(tag for image in run.data.fit for tag in image.tags),
            losses=losses,
        )
        write_report(inputs, path)
    wait_for_ranks()
    return path


def _losses(
    run: _Run, stages: Mapping[str, Done], final: Done, evaluated: Sequence[Evaluated], rule: PseudoLabelConfig
) -> dict[str, Any]:
    """Return where objects, or tags, are lost, by the name of the data set."""
    chain = Chain(load_bundle(final.folder), rule if run.config.pgt is not None else None)
    by_data: dict[str, list[Evaluated]] = {}
    for entry in evaluated:
        by_data.setdefault(entry.data, []).append(entry)
    return {
        data: run_losses(chain, rows[0].images, rows[0].results_dir, rows[-1].results_dir, stages[CAM].folder)
        for data, rows in by_data.items()
    }


def _replace_folder(source: Path, target: Path) -> None:
    partial = target.with_name(f"{target.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source, partial, ignore=shutil.ignore_patterns(DONE))
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
