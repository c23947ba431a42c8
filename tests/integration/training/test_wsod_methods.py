"""WSDDN and MIST from tags to a graph, on patches of colour with the tiny bundle's proposals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from deploy.export.graph_plans import wsod_plan
from deploy.export.onnx_graph import export_graph
from models.bundle import Bundle
from models.config import load_config
from models.labels import LabelSet
from models.nets.wsod import Wsod, build_wsod
from models.nets.wsod_methods import Method
from tests.support.bundles.tiny_bundle import LABELS, SIDE_PX, encoded, picture
from tests.support.faults.cut_off import cut_off_between_checkpoints
from training.data.tagged import TaggedImage, TrueObject
from training.wsod.config import WsodConfig
from training.wsod.roi_store import ExampleFile, pool_images
from training.wsod.train import train_wsod

CONFIGS = Path(__file__).resolve().parents[3] / "training" / "configs"
BACKBONE = "mobilenetv2_100"
TINY = [f"side_px={SIDE_PX}", "subsample=1", "epochs=2", "batch=4", "warmup_steps=1", "checkpoint_steps=4"]
TERMS = {
    "wsddn": {"loss_wsddn"},
    "mist": {"loss_wsddn"} | {f"loss_{part}_{k}" for part in ("refine", "box") for k in (1, 2, 3)},
}
SHAPES = {
    "image": ("B", SIDE_PX, SIDE_PX, 3),
    "boxes": ("B", "P", 4),
    "valid": ("B", "P"),
    "scores": ("B", "P", len(LABELS)),
    "deltas": ("B", "P", 1, 4),
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[TaggedImage]:
    """Six pictures, each of two patches of one colour and that colour's tag."""
    folder = tmp_path_factory.mktemp("photos")
    found = []
    for number in range(6):
        channel, shift = number % 3, 2 * number
        rgb = tuple(255 * (channel == i) for i in range(3))
        patches = [((4 + shift, 4, 20 + shift, 24), rgb), ((30 + shift, 36, 44 + shift, 52), rgb)]
        path = folder / f"{number}.png"
        path.write_bytes(encoded(picture(*patches)))
        found.append(TaggedImage(str(number), path, (SIDE_PX, SIDE_PX), (LABELS.names[channel],)))
    return found


@pytest.fixture(scope="module")
def cam_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features as a classifier's run leaves them, untrained."""
    torch.manual_seed(0)
    state = build_wsod(BACKBONE, len(LABELS)).features.state_dict()
    path = tmp_path_factory.mktemp("cam") / "cam.safetensors"
    save_file({f"features.{name}": tensor.contiguous() for name, tensor in state.items()}, path)
    return path


def train(
    method: str,
    cam: Path,
    images: list[TaggedImage],
    bundle: Bundle,
    folder: Path,
    *overrides: str,
    held_out: list[TaggedImage] | None = None,
) -> Path:
    config = load_config(WsodConfig, CONFIGS / f"stages/wsod_{method}.toml", [*TINY, *overrides])
    held_out = held_out or images
    return train_wsod(config, cam, bundle.folder, images, held_out, LABELS, folder.parent / "proposals", folder)


def cut_off(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("method", ["wsddn", "mist"])
def test_a_method_trains_calibrates_and_exports(
    method: Method, images: list[TaggedImage], cam_checkpoint: Path, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    checkpoint = train(method, cam_checkpoint, images, tiny_bundle, tmp_path / "run")
    row = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[0])
    assert {name for name in row if name.startswith("loss_")} == TERMS[method]
    thresholds = json.loads((tmp_path / "run" / "thresholds.json").read_text())["score"]
    assert len(thresholds) == len(LABELS)
    assert json.loads((tmp_path / "run" / "report.json").read_text()) == {"images": 0}  # these have no true boxes

    torch.manual_seed(7)  # as the run begins
    net = build_wsod(BACKBONE, len(LABELS), method=method)
    untrained = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    trained = load_file(checkpoint)
    net.load_state_dict(trained)
    learnt = {name.split(".")[1] for name in trained if not torch.equal(trained[name], untrained[name])}
    assert {"of_classes", "of_proposals", "layers"} <= learnt
    assert ("drop_block" in learnt) == (method == "mist")

    # the last box of each picture is padding there, also for the comparison with torch
    spec = export_graph(wsod_plan(net.eval(), SIDE_PX, np.random.default_rng(0)), tmp_path, SIDE_PX)
    assert {tensor.name: tensor.shape for tensor in (*spec.inputs, *spec.outputs)} == SHAPES
    assert max(spec.max_abs_difference.values()) < 0.001


def test_half_precision_trains_too(
    images: list[TaggedImage], cam_checkpoint: Path, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    assert train("mist", cam_checkpoint, images, tiny_bundle, tmp_path / "run", "precision=bf16-mixed").is_file()


def test_proposals_of_another_size_or_other_classes_are_refused(
    images: list[TaggedImage], cam_checkpoint: Path, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"side_px: is 96, but the proposals' bundle has"):
        train("mist", cam_checkpoint, images, tiny_bundle, tmp_path / "run", "side_px=96")
    config = load_config(WsodConfig, CONFIGS / "stages/wsod_mist.toml", TINY)
    turned = LabelSet(LABELS.labels[::-1])
    folders = tiny_bundle.folder, tmp_path / "proposals", tmp_path / "run"
    with pytest.raises(ValueError, match="data: its labels are not those of the proposals' bundle"):
        train_wsod(config, cam_checkpoint, folders[0], images, images, turned, *folders[1:])


def test_calibrated_thresholds_are_reached_by_nine_in_ten_tagged_pictures(
    images: list[TaggedImage], cam_checkpoint: Path, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    """WSDDN's scores shrink with the number of proposals; their thresholds must follow."""
    from training.proposals.store import store_proposals

    checkpoint = train("wsddn", cam_checkpoint, images, tiny_bundle, tmp_path / "run")
    least = json.loads((tmp_path / "run" / "thresholds.json").read_text())["score"]
    net = build_wsod(BACKBONE, len(LABELS), method="wsddn")
    net.load_state_dict(load_file(checkpoint))
    net.eval()
    stored = store_proposals(tiny_bundle.folder, images, tmp_path / "proposals")
    files = pool_images(net, images, stored, LABELS, SIDE_PX, tmp_path / "features")
    examples = [file.read() for file in files]
    with torch.no_grad():
        best = [net.head.scores(net.head.embed_pooled(example.pooled.float())).amax(dim=0) for example in examples]
    for label, threshold in enumerate(least):
        tagged = [float(scores[label]) for scores, example in zip(best, examples, strict=True) if example.tags[label]]
        # two pictures have each tag: the threshold lies a tenth of the way from the lower score to the higher
        assert threshold == pytest.approx(min(tagged) + 0.1 * (max(tagged) - min(tagged)), abs=1e-4)


def test_a_mist_run_cut_off_at_a_checkpoint_ends_with_the_same_weights(
    images: list[TaggedImage],
    cam_checkpoint: Path,
    tiny_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        cut_off_between_checkpoints(patch)
        with pytest.raises(KeyboardInterrupt):
            train("mist", cam_checkpoint, images, tiny_bundle, tmp_path / "broken")
    assert torch.load(tmp_path / "broken" / "resume.pt", weights_only=True)["step"] == 4
    resumed, unbroken = (
        load_file(train("mist", cam_checkpoint, images, tiny_bundle, tmp_path / name))
        for name in ("broken", "unbroken")
    )
    assert any(name.startswith("head.drop_block.") for name in unbroken)
    for name, tensor in unbroken.items():
        torch.testing.assert_close(resumed[name], tensor, rtol=1e-4, atol=1e-5)


# Of two pictures, each as it is served and as a quarter of a canvas.
ONE_STEP = ("subsample=3", "epochs=1", "batch=4")


def test_features_are_pooled_once_and_go_with_the_finished_run(
    images: list[TaggedImage],
    cam_checkpoint: Path,
    tiny_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = tmp_path / "run"
    pooled: list[dict[Path, int]] = []
    with monkeypatch.context() as patch:
        patch.setattr("training.wsod.train.save_weights", cut_off)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                train("wsddn", cam_checkpoint, images, tiny_bundle, run, *ONE_STEP)
            pooled.append({path: path.stat().st_mtime_ns for path in (run / "roi_features").rglob("*.npz")})
    assert len(pooled[0]) == 4 + len(images), "learnt from, and held out"
    assert pooled[1] == pooled[0]
    train("wsddn", cam_checkpoint, images, tiny_bundle, run, *ONE_STEP)
    assert not (run / "roi_features").exists()


def test_a_run_without_a_step_left_pools_only_what_it_is_measured_on(
    images: list[TaggedImage],
    cam_checkpoint: Path,
    tiny_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train("wsddn", cam_checkpoint, images, tiny_bundle, tmp_path / "run", *ONE_STEP)
    pooled: list[int] = []

    def counted(net: Wsod, pictures: list[TaggedImage], *given: Any) -> list[ExampleFile]:
        pooled.append(len(pictures))
        return pool_images(net, pictures, *given)

    monkeypatch.setattr("training.wsod.train.pool_images", counted)
    monkeypatch.setattr("training.wsod.train.pool_quarters", cut_off)
    train("wsddn", cam_checkpoint, images, tiny_bundle, tmp_path / "run", *ONE_STEP)
    assert pooled == [len(images)], "those that are held out"


def test_a_run_that_goes_on_chooses_thresholds_on_the_pictures_it_is_given(
    images: list[TaggedImage],
    cam_checkpoint: Path,
    tiny_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = images[:3], images[:2:-1]
    with monkeypatch.context() as patch:
        patch.setattr("training.wsod.train.save_weights", cut_off)
        with pytest.raises(KeyboardInterrupt):
            train("wsddn", cam_checkpoint, images, tiny_bundle, tmp_path / "broken", *ONE_STEP, held_out=first)
    for name in ("broken", "unbroken"):
        train("wsddn", cam_checkpoint, images, tiny_bundle, tmp_path / name, *ONE_STEP, held_out=second)
    resumed, unbroken = (
        json.loads((tmp_path / name / "thresholds.json").read_text())["score"] for name in ("broken", "unbroken")
    )
    assert resumed == pytest.approx(unbroken, rel=1e-3)


@pytest.mark.parametrize(
    ("is_empty", "overrides", "message"),
    [
        pytest.param(True, (), "0 of 12 examples have a proposal, too few for a step of batch = 4", id="none"),
        pytest.param(False, ("epochs=1", "batch=16"), "12 of 12 .* too few for a step of batch = 16", id="too-few"),
    ],
)
def test_too_few_proposals_to_learn_from_are_counted(
    images: list[TaggedImage],
    cam_checkpoint: Path,
    tiny_bundle: Bundle,
    tmp_path: Path,
    is_empty: bool,
    overrides: tuple[str, ...],
    message: str,
) -> None:
    grey = tmp_path / "grey.png"
    grey.write_bytes(encoded(picture()))
    given = [replace(image, path=grey) for image in images] if is_empty else images
    with pytest.raises(ValueError, match=f"data: {message}: give more images, or lower grid_min_iou"):
        train("wsddn", cam_checkpoint, given, tiny_bundle, tmp_path / "run", *overrides)


def test_objects_that_a_person_confirmed_are_learnt_from_where_nothing_is_proposed(
    images: list[TaggedImage], cam_checkpoint: Path, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    grey = tmp_path / "grey.png"
    grey.write_bytes(encoded(picture()))
    confirmed = [
        replace(image, path=grey, objects=(TrueObject(image.tags[0], (4.0, 4.0, 20.0, 24.0)),), confirmed=True)
        for image in images
    ]
    assert train("mist", cam_checkpoint, confirmed, tiny_bundle, tmp_path / "run", held_out=images).is_file()
    moved = replace(confirmed[0], objects=(TrueObject(images[0].tags[0], (8.0, 4.0, 24.0, 24.0)),))
    with pytest.raises(ValueError, match="holds a run whose confirmed objects were others"):
        train("mist", cam_checkpoint, [moved, *confirmed[1:]], tiny_bundle, tmp_path / "run", held_out=images)


def test_wsddn_has_no_supervised_twin(
    images: list[TaggedImage], cam_checkpoint: Path, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="supervision: WSDDN learns from tags alone; the twin takes method=oicr"):
        train("wsddn", cam_checkpoint, images, tiny_bundle, tmp_path / "run", "supervision=boxes")
