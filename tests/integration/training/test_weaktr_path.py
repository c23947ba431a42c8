"""WeakTr from generated pictures through the commands to a bundle that detects, in seconds."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from deploy.export.bundle import export_bundle
from models.bundle import AVERAGED_CAM, PROPOSAL_GRAPHS, Bundle, BundleError
from models.bundle_files.manifest import load_bundle
from models.config import load_config
from models.image import decode_image
from models.run_folder import open_run
from models.settings import BundleConfig
from service.backends.ort import OrtBackend
from service.inference.cache import ResultCache
from service.inference.pipeline import Pipeline, RequestLimits
from service.observability.metrics import Metrics
from tests.support.faults.cut_off import cut_off_between_checkpoints
from tests.support.trainings.tiny_runs import CAM, CONFIGS, make_scenes, run_cam, run_sam, run_wsod
from training.data.open_together import open_together
from training.proposals.store import store_proposals
from training.scenes.objects.catalogue import CATEGORY_NAMES
from weaksam.cli.train import train_app
from weaksam.schemas import DetectOptions, DetectResult

BUNDLE_CONFIG = CONFIGS.parents[1] / "deploy" / "configs" / "weaktr.toml"
KINDS = ("coarse", "fine", "cross_2_0", "cross_2_1", "cross_3_0", "cross_3_1")
CLASSES = len(CATEGORY_NAMES)
WEAKTR = [*CAM, "backbone=test_vit", "weaktr.cross_blocks=[2, 3]"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_scenes(tmp_path_factory.mktemp("data"))


def train_weaktr(data: Path, out: Path, *overrides: str) -> None:
    arguments = [
        "cam",
        "--config",
        str(CONFIGS / "stages/cam_weaktr_small.toml"),
        "--data",
        str(data),
        "--out",
        str(out),
    ]
    for override in (*WEAKTR, *overrides):
        arguments += ["--set", override]
    result = CliRunner().invoke(train_app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WeakTr, the CNN whose features the detector takes, and bundles without and with that detector."""
    runs = tmp_path_factory.mktemp("runs")
    loose = ["prompts.grid_min_iou=-9", "prompts.grid_min_stability=-9"]
    config = load_config(BundleConfig, BUNDLE_CONFIG, loose)
    train_weaktr(data, runs / "weaktr")
    run_sam(runs / "sam")
    run_cam(data, runs / "cnn")
    sam, cam = open_run(runs / "sam", "sam"), open_run(runs / "weaktr", "cam")
    export_bundle(sam, cam, None, config, runs / "proposer")
    run_wsod(data, runs / "cnn" / "cam.safetensors", runs / "proposer", runs / "store", runs / "wsod")
    export_bundle(sam, cam, open_run(runs / "wsod", "wsod"), config, runs / "bundle")
    return runs


def test_training_logs_every_loss_and_reports_every_kind_of_map(runs: Path) -> None:
    row = json.loads((runs / "weaktr" / "log.jsonl").read_text().splitlines()[0])
    assert {"loss_class_tokens", "loss_coarse", "loss_fine", "loss_background"} <= set(row)
    report = json.loads((runs / "weaktr" / "report.json").read_text())
    assert tuple(report["pointing_by_kind"]) == KINDS
    assert report["pointing_accuracy"] == report["pointing_by_kind"]["coarse"]
    assert report["peaks"]["per_tag"] >= 1
    assert json.loads((runs / "weaktr" / "config.json").read_text())["weaktr"]["cross_blocks"] == [2, 3]


def test_every_part_of_the_network_has_learnt(runs: Path, data: Path, tmp_path: Path) -> None:
    train_weaktr(data, tmp_path / "untrained", "steps=0")
    before, after = (load_file(folder / "cam.safetensors") for folder in (tmp_path / "untrained", runs / "weaktr"))
    for name in ("class_tokens", "positions", "head.weight", "fusion.excite.0.weight", "blocks.0.attn.qkv.weight"):
        assert not torch.equal(before[name], after[name]), name


def test_a_training_cut_off_at_a_checkpoint_ends_with_the_same_weights(
    runs: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        cut_off_between_checkpoints(patch)
        with pytest.raises((KeyboardInterrupt, AssertionError)):
            train_weaktr(data, tmp_path)
    assert (tmp_path / "resume.pt").exists()
    assert not (tmp_path / "cam.safetensors").exists()
    train_weaktr(data, tmp_path)
    resumed, unbroken = (load_file(folder / "cam.safetensors") for folder in (tmp_path, runs / "weaktr"))
    for name, tensor in unbroken.items():
        torch.testing.assert_close(resumed[name], tensor, rtol=1e-4, atol=1e-5)


def test_the_graph_has_all_kinds_of_maps_and_agrees_with_torch(runs: Path) -> None:
    bundle = load_bundle(runs / "bundle")
    assert bundle.map_kinds == KINDS
    spec = bundle.graphs["cam"]
    assert {tensor.name: tensor.shape for tensor in spec.outputs} == {
        "scores": ("B", CLASSES),
        "maps": ("B", len(KINDS), CLASSES, 4, 4),
    }
    assert max(spec.max_abs_difference.values()) < 0.001
    assert AVERAGED_CAM not in bundle.graphs, "one scale is served"


def test_training_proposes_from_averaged_maps_and_thresholds_from_served_ones(runs: Path, data: Path) -> None:
    proposer = load_bundle(runs / "proposer", PROPOSAL_GRAPHS)
    spec = proposer.graphs[AVERAGED_CAM]
    assert {tensor.name: tensor.shape for tensor in spec.outputs}["maps"] == ("B", len(KINDS), CLASSES, 4, 4)
    assert max(spec.max_abs_difference.values()) < 0.001
    [folder] = (runs / "store").glob(f"{proposer.inference_digest[:16]}-*")
    stored = sorted(path.name for path in folder.iterdir())
    fit = open_together([data], "fit").images
    held_out = open_together([data], "val").images
    assert len([name for name in stored if name.endswith("-averaged.npz")]) == len(fit)
    assert len(stored) == len(fit) + len(held_out)
    averaged, served = (
        store_proposals(runs / "proposer", fit[:1], runs / "store", averaged=averaged)[0] for averaged in (True, False)
    )
    assert not np.array_equal(averaged.tag_scores, served.tag_scores)


def test_the_bundle_detects_in_the_pipeline_that_serves(runs: Path, data: Path) -> None:
    result = asyncio.run(_detect(load_bundle(runs / "bundle"), min((data / "JPEGImages").iterdir()).read_bytes()))
    assert {detection.label for detection in result.detections} <= {"Wrench", "Nut"}
    assert {row.label for row in result.tags} == {"Wrench", "Nut"}
    assert result.explain is not None
    assert all(tag.peaks for tag in result.explain.tags)


async def _detect(bundle: Bundle, picture: bytes) -> DetectResult:
    metrics = Metrics()
    backend = OrtBackend(bundle, intra_op_threads=1)
    pipeline = Pipeline(bundle, backend, ResultCache(2**20, metrics), RequestLimits(), metrics)
    options = DetectOptions(min_score=0.0, explain=True)
    try:
        return await pipeline.detect(decode_image(picture), ["wrench", "nut"], options)
    finally:
        await backend.aclose()


def test_a_bundle_whose_kinds_are_not_its_maps_is_refused(runs: Path) -> None:
    manifest = runs / "proposer" / "bundle.json"
    text = manifest.read_text()
    try:
        for kinds, message in [(["coarse"], "names 1 kinds, cam has 6"), (["corse"], "names 'corse', known are")]:
            manifest.write_text(json.dumps(json.loads(text) | {"map_kinds": kinds}))
            with pytest.raises(BundleError, match=message):
                load_bundle(runs / "proposer", PROPOSAL_GRAPHS)
    finally:
        manifest.write_text(text)


def test_the_detector_takes_no_features_of_a_transformer(runs: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no feature pyramid, .* architecture = \"cnn\""):
        run_wsod(data, runs / "weaktr" / "cam.safetensors", runs / "proposer", runs / "store", tmp_path)


def test_classifiers_are_compared_on_the_same_pictures(runs: Path, data: Path, tmp_path: Path) -> None:
    arguments = ["cam-compare", "--run", str(runs / "cnn"), "--run", str(runs / "weaktr"), "--data", str(data)]
    for more, name in [([], "one"), (["--scale", "1", "--scale", "1.5", "--flip"], "averaged")]:
        out = tmp_path / f"{name}.json"
        result = CliRunner().invoke(train_app, [*arguments, "--split", "val", "--json", str(out), *more])
        assert result.exit_code == 0, result.output
    one, averaged = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "averaged"))
    assert list(one) == ["cnn", "weaktr"]
    assert [one[name]["architecture"] for name in one] == ["cnn", "weaktr"]
    assert (
        one["weaktr"]["pointing_by_kind"]
        == json.loads((runs / "weaktr" / "report.json").read_text())["pointing_by_kind"]
    )
    assert tuple(averaged["weaktr"]["pointing_by_kind"]) == KINDS


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("side_px=80", "side_px is 80: 2x2 mosaics .* multiple of 32"),
        ("weaktr.cross_blocks=[9]", r"cross_blocks is \[9\]: test_vit has blocks 0 to 5"),
        ("weaktr.cross_block=[1]", "unknown key 'cross_block': did you mean 'cross_blocks'"),
        ("architecture=wektr", "architecture is 'wektr': must be 'cnn' or 'weaktr'"),
    ],
)
def test_settings_that_do_not_fit_are_named(data: Path, tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train_weaktr(data, tmp_path, override)
