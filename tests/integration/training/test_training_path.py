"""From generated pictures and tags to a bundle that detects, in seconds: the whole path of the product."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from deploy.export.bundle import export_bundle, open_classes
from deploy.export.onnx_graph import ExportError
from deploy.export.sam_sources import open_sam
from models.bundle import PROPOSAL_GRAPHS, BundleError
from models.bundle_files.manifest import load_bundle
from models.config import load_config
from models.labels import LabelSet
from models.labels_file import read_labels, write_labels
from models.nets.cam import CnnCam
from models.nets.compact_sam import build_compact_sam
from models.run_folder import RESUME, RunError, open_run
from models.settings import BundleConfig
from tests.support.faults.cut_off import cut_off_between_checkpoints
from tests.support.trainings.tiny_runs import make_scenes, run_cam, run_sam, run_wsod
from training.classifier.compare import open_cam
from training.evaluation.evaluate import evaluate
from training.runs.cam_file import cam_file
from training.sam.average import average_sam
from training.sam.initial_weights import NOT_SERVED, load_initial_weights
from training.scenes.objects.catalogue import CATEGORY_NAMES
from weaksam.errors import UserError

BUNDLE_CONFIG = Path(__file__).resolve().parents[3] / "deploy" / "configs" / "default.toml"
CLASSES = len(CATEGORY_NAMES)
EXPECTED_SHAPES = {
    "cam": {"image": ("B", 64, 64, 3), "scores": ("B", CLASSES), "maps": ("B", 1, CLASSES, 8, 8)},
    "sam_encoder": {"image": ("B", 64, 64, 3), "embedding": ("B", 512, 8, 8)},
    "sam_decoder": {
        "embedding": (1, 512, 8, 8),
        "coords": ("P", "N", 2),
        "labels": ("P", "N"),
        "valid_hw": (2,),
        "boxes": ("P", 3, 4),
        "iou": ("P", 3),
        "stability": ("P", 3),
        "logits": ("P", 3, 32, 32),
    },
    "wsod": {
        "image": ("B", 64, 64, 3),
        "boxes": ("B", "P", 4),
        "valid": ("B", "P"),
        "scores": ("B", "P", CLASSES),
        "deltas": ("B", "P", 1, 4),
    },
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_scenes(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of every stage with the bundle that each one's export makes."""
    runs = tmp_path_factory.mktemp("runs")
    config = load_config(BundleConfig, BUNDLE_CONFIG, ["prompts.grid_min_iou=-9", "prompts.grid_min_stability=-9"])
    run_sam(runs / "sam", "prompt_map=false")  # the least that the contract asks for
    run_cam(data, runs / "cam")
    sam, cam = open_run(runs / "sam", "sam"), open_run(runs / "cam", "cam")
    export_bundle(sam, cam, None, config, runs / "proposal_bundle")
    run_wsod(data, runs / "cam" / "cam.safetensors", runs / "proposal_bundle", runs / "store", runs / "wsod")
    export_bundle(sam, cam, open_run(runs / "wsod", "wsod"), config, runs / "bundle")
    return runs


def test_every_graph_has_the_shapes_of_the_contract_and_agrees_with_torch(runs: Path) -> None:
    bundle = load_bundle(runs / "bundle")
    for name, shapes in EXPECTED_SHAPES.items():
        spec = bundle.graphs[name]
        assert {tensor.name: tensor.shape for tensor in (*spec.inputs, *spec.outputs)} == shapes
    assert max(bundle.graphs["cam"].max_abs_difference.values()) < 0.001
    assert max(bundle.graphs["wsod"].max_abs_difference.values()) < 0.001
    assert bundle.graphs["sam_decoder"].max_abs_difference["iou"] < 0.001


def test_a_graph_of_another_classifier_is_refused(runs: Path) -> None:
    from onnxruntime import InferenceSession

    from deploy.export.graph_plans import cam_plan
    from deploy.export.onnx_graph import ExportError, largest_difference

    bundle = load_bundle(runs / "bundle")
    net = open_cam(open_run(runs / "cam", "cam"))
    assert isinstance(net, CnnCam)
    plan = cam_plan(net, bundle.side_px, np.random.default_rng(0))
    session = InferenceSession(bundle.path("cam"), providers=["CPUExecutionProvider"])
    assert largest_difference(plan, session)["maps"] < 0.1
    with torch.no_grad():
        bias = net.classifier.bias
        assert bias is not None
        bias += 3
    with pytest.raises(ExportError, match="cam: scores of the exported graph differs from torch"):
        largest_difference(plan, session)


def test_a_bundle_without_detector_makes_proposals_and_is_not_served(runs: Path) -> None:
    assert set(load_bundle(runs / "proposal_bundle", PROPOSAL_GRAPHS).graphs) == set(PROPOSAL_GRAPHS)
    with pytest.raises(BundleError, match="lacks wsod"):
        load_bundle(runs / "proposal_bundle")


def test_the_bundle_is_measured_through_the_served_pipeline(runs: Path, data: Path) -> None:
    report = evaluate(runs / "bundle", data, "test", limit=3, threads=1)
    assert report["images"] == 3
    assert 0 < report["proposals_per_image"] <= 150
    assert {"ap50", "ap50_tagged", "naive_ap50_tagged", "corloc", "mask_ap50"} <= set(report)


def test_runs_record_what_they_depend_on(runs: Path) -> None:
    for name in ("sam", "cam", "wsod"):
        config = json.loads((runs / name / "config.json").read_text())
        assert config["seed"] == load_bundle(runs / "bundle").provenance["runs"][name]["config"]["seed"]
        assert json.loads((runs / name / "environment.json").read_text())["packages"]["torch"] == version("torch")
        rows = [json.loads(line) for line in (runs / name / "log.jsonl").read_text().splitlines()]
        assert rows[0]["step"] == 0
    assert set(json.loads((runs / "cam" / "report.json").read_text())) >= {"tag_top1", "tag_map", "pointing_accuracy"}


def test_proposals_are_made_once(runs: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("proposals were made anew")

    monkeypatch.setattr("training.proposals.graph_runner.GraphRunner.propose", refuse)
    run_wsod(data, runs / "cam/cam.safetensors", runs / "proposal_bundle", runs / "store", runs / "again", "epochs=1")


def test_the_supervised_twin_trains_with_the_same_command(runs: Path, data: Path) -> None:
    checkpoint = run_wsod(
        data,
        runs / "cam/cam.safetensors",
        runs / "proposal_bundle",
        runs / "store",
        runs / "twin",
        "supervision=boxes",
    )
    tags = load_file(runs / "wsod" / "wsod.safetensors")
    twin = load_file(checkpoint)
    assert set(twin) == set(tags)
    assert not torch.equal(twin["head.deltas.weight"], tags["head.deltas.weight"])
    assert torch.equal(twin["features.fine.weight"], tags["features.fine.weight"])


@pytest.mark.parametrize("stage", ["sam", "cam", "wsod"])
def test_a_stage_cut_off_at_a_checkpoint_ends_with_the_same_weights(
    stage: str, runs: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> Path:
        if stage == "sam":
            return run_sam(tmp_path / "run", "prompt_map=false")
        if stage == "cam":
            return run_cam(data, tmp_path / "run")
        cam = runs / "cam" / "cam.safetensors"
        return run_wsod(data, cam, runs / "proposal_bundle", runs / "store", tmp_path / "run")

    with monkeypatch.context() as patch:
        cut_off_between_checkpoints(patch)
        with pytest.raises(KeyboardInterrupt):
            run()
    assert (tmp_path / "run" / "resume.pt").exists()
    assert not (tmp_path / "run" / f"{stage}.safetensors").exists()
    resumed, unbroken = load_file(run()), load_file(runs / stage / f"{stage}.safetensors")
    for name, tensor in unbroken.items():
        torch.testing.assert_close(resumed[name], tensor, rtol=1e-4, atol=1e-5)


def test_an_unfinished_run_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"sam\.safetensors does not exist: finish"):
        open_run(tmp_path, "sam")


def test_the_compact_sam_of_a_bundle_serves_other_classes(runs: Path, tmp_path: Path) -> None:
    config = load_config(BundleConfig, BUNDLE_CONFIG)
    source = load_bundle(runs / "bundle")
    export_bundle(open_sam(runs / "bundle"), open_run(runs / "cam", "cam"), None, config, tmp_path / "bundle")
    borrowed = load_bundle(tmp_path / "bundle", PROPOSAL_GRAPHS)
    assert borrowed.graphs["sam_decoder"] == source.graphs["sam_decoder"]
    assert borrowed.provenance["runs"]["sam"] == source.provenance["runs"]["sam"]


def test_the_classes_of_a_bundle_are_served_with_another_sam(runs: Path, tmp_path: Path) -> None:
    config = load_config(BundleConfig, BUNDLE_CONFIG, ['version="12"'])
    source = load_bundle(runs / "bundle")
    other = replace(open_run(runs / "sam", "sam"), config=open_run(runs / "sam", "sam").config | {"side_px": 96})
    export_bundle(other, open_classes(runs / "bundle"), None, config, tmp_path / "bundle")
    found = load_bundle(tmp_path / "bundle")
    assert found.version == "12"
    assert found.graphs["sam_encoder"].side_px == 96
    assert {name: found.graphs[name] for name in ("cam", "wsod")} == {
        name: source.graphs[name] for name in ("cam", "wsod")
    }
    assert (found.labels, found.map_kinds, found.thresholds) == (source.labels, source.map_kinds, source.thresholds)
    assert found.provenance["runs"]["wsod"] == source.provenance["runs"]["wsod"]


def test_a_bundle_gets_another_weak_detector(data: Path, runs: Path, tmp_path: Path) -> None:
    """What `weaksam train wsod --cam BUNDLE` trains must be of use to that bundle."""
    source = load_bundle(runs / "bundle")
    run_wsod(data, cam_file(runs / "bundle"), runs / "bundle", runs / "store", tmp_path / "wsod", "seed=9")
    config, wsod = load_config(BundleConfig, BUNDLE_CONFIG), open_run(tmp_path / "wsod", "wsod")
    export_bundle(source, source, wsod, config, tmp_path / "bundle")
    found = load_bundle(tmp_path / "bundle")
    assert found.thresholds.score == tuple(wsod.thresholds["score"])
    assert found.thresholds.classifier == source.thresholds.classifier
    assert found.path("cam").read_bytes() == source.path("cam").read_bytes()
    assert found.path("wsod").read_bytes() != source.path("wsod").read_bytes()
    assert found.provenance["runs"]["wsod"]["config"]["seed"] == 9


def test_a_compact_sam_goes_on_from_a_bundle(runs: Path) -> None:
    trained = load_file(runs / "sam" / "sam.safetensors")
    net = build_compact_sam("mobilenetv2_100", 64)
    load_initial_weights(net, runs / "bundle")
    served = {key: value for key, value in net.state_dict().items() if not key.startswith(NOT_SERVED)}
    for key, value in served.items():
        if not key.endswith("num_batches_tracked"):
            torch.testing.assert_close(value, trained[key], rtol=1e-3, atol=1e-6, msg=key)


def test_weights_are_averaged_with_those_that_were_gone_on_from(runs: Path, tmp_path: Path) -> None:
    other = run_sam(tmp_path / "other", f"initial={runs / 'bundle'}", "lr=1e-3", "prompt_map=true")
    source = runs / "sam" / "sam.safetensors"
    average = average_sam(tmp_path / "other", source, 0.25, tmp_path / "mean")
    mean, theirs, trained = load_file(average), load_file(source), load_file(other)
    for key, values in mean.items():
        if key.startswith("prompt_map."):
            torch.testing.assert_close(values, trained[key], rtol=0, atol=0, msg=key)  # the other has none
        elif values.is_floating_point():
            torch.testing.assert_close(values, 0.75 * trained[key] + 0.25 * theirs[key], msg=key)
    assert any(not torch.equal(mean[key], theirs[key]) for key in theirs)
    assert open_run(tmp_path / "mean", "sam").config["averaged"]["share"] == 0.25


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, float("nan")])
def test_a_share_of_all_or_nothing_is_no_average(runs: Path, tmp_path: Path, share: float) -> None:
    with pytest.raises(UserError, match="share: is .* give a number above 0 and below 1"):
        average_sam(runs / "sam", runs / "bundle", share, tmp_path / "mean")


def test_a_bundle_of_another_network_is_not_gone_on_from(runs: Path) -> None:
    with pytest.raises(ValueError, match="initial: .* has no image_encoder"):
        load_initial_weights(build_compact_sam("mobilenetv2_050", 64), runs / "bundle")
    with pytest.raises(UserError, match=r"sam\.safetensors differs from this compact SAM \(of another shape"):
        load_initial_weights(build_compact_sam("mobilenetv2_050", 64), runs / "sam")
    with pytest.raises(UserError, match="labels.json cannot be read as a checkpoint"):
        load_initial_weights(build_compact_sam("mobilenetv2_100", 64), runs / "cam" / "labels.json")


def test_a_resumed_compact_sam_is_held_to_its_first_weights(runs: Path, tmp_path: Path) -> None:
    initial = shutil.copytree(runs / "sam", tmp_path / "initial")
    run_sam(tmp_path / "run", f"initial={initial}")
    (tmp_path / "run" / RESUME).touch()
    weights = load_file(initial / "sam.safetensors")
    save_file({key: values + 1 for key, values in weights.items()}, initial / "sam.safetensors")
    with pytest.raises(UserError, match="holds a run whose initial weights were others"):
        run_sam(tmp_path / "run", f"initial={initial}")


def test_runs_of_different_sizes_are_not_exported_together(runs: Path, tmp_path: Path) -> None:
    config = load_config(BundleConfig, BUNDLE_CONFIG)
    sam, cam, wsod = (open_run(runs / name, name) for name in ("sam", "cam", "wsod"))
    other = type(cam)(cam.folder, cam.checkpoint, cam.config | {"side_px": 96})
    with pytest.raises(ExportError, match="side_px differs"):
        export_bundle(sam, other, wsod, config, tmp_path / "bundle")


def test_runs_whose_labels_stand_in_another_order_are_not_exported_together(runs: Path, tmp_path: Path) -> None:
    config = load_config(BundleConfig, BUNDLE_CONFIG)
    sam, cam = open_run(runs / "sam", "sam"), open_run(runs / "cam", "cam")
    shutil.copytree(runs / "wsod", tmp_path / "wsod")
    labels = read_labels(runs / "wsod" / "labels.json")
    write_labels(LabelSet(labels.labels[::-1]), tmp_path / "wsod" / "labels.json")
    with pytest.raises(ExportError, match="other labels than the classifier, or in another order"):
        export_bundle(sam, cam, open_run(tmp_path / "wsod", "wsod"), config, tmp_path / "bundle")


def test_closed_world_holds_for_a_real_bundle(runs: Path, data: Path) -> None:
    from models.image import decode_image
    from service.backends.ort import OrtBackend
    from service.inference.cache import ResultCache
    from service.inference.pipeline import Pipeline, RequestLimits
    from service.observability.metrics import Metrics
    from weaksam.schemas import DetectOptions

    bundle = load_bundle(runs / "bundle")
    picture = decode_image(next((data / "JPEGImages").iterdir()).read_bytes())

    async def labels_found() -> set[str]:
        metrics = Metrics()
        backend = OrtBackend(bundle, intra_op_threads=1)
        pipeline = Pipeline(bundle, backend, ResultCache(2**20, metrics), RequestLimits(), metrics)
        result = await pipeline.detect(picture, ["wrench", "nut"], DetectOptions(min_score=0.0))
        await backend.aclose()
        return {detection.label for detection in result.detections}

    assert asyncio.run(labels_found()) == {"Wrench", "Nut"}
