"""A compact SAM that learns from masked images: cut off, resumed, exported and asked where it wants to be."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from deploy.export.bundle import export_bundle, open_classes
from deploy.export.other_sam import export_with_sam
from deploy.export.sam_settings import GRID_PROMPTS
from models.bundle import DEFAULT_BUNDLE
from models.bundle_files.manifest import load_bundle
from models.config import load_config
from models.run_folder import open_run
from models.settings import BundleConfig
from tests.support.trainings.masked_images import write_masked_images
from tests.support.trainings.tiny_runs import CONFIGS, SAM, run_sam
from training.data.open_dataset import open_dataset
from training.proposals.graph_runner import GraphRunner
from training.sam.batches import sam_loader
from training.sam.config import SamConfig
from training.sam.images.photographs import read_domains
from training.sam.quality import JudgedMasks, judge, learn_quality
from training.sam.report import report_sam
from training.sam.train import sam_losses
from training.sam.trained import load_segmenter

BUNDLE_CONFIG = Path(__file__).resolve().parents[4] / "deploy" / "configs" / "default.toml"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_masked_images(tmp_path_factory.mktemp("masked"))


def run(root: Path, out: Path) -> Path:
    """Three steps of images of 32 px and three of 64, most of them corrected by a click."""
    source = f'sources=[{{data="{root}", weight=3.0}}]'
    shares = ("correct_share=0.6", "group_share=0.2", "prompt_map=true", "early_side_px=32", "early_steps=3")
    return run_sam(out, source, *shares)


@pytest.fixture(scope="module")
def unbroken(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(root, tmp_path_factory.mktemp("sam"))


def test_a_run_cut_off_at_a_checkpoint_ends_with_the_same_weights(
    root: Path, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = count()

    def cut_off_in_the_fourth_step(*arguments: torch.Tensor) -> dict[str, torch.Tensor]:
        if next(calls) == 3:
            raise KeyboardInterrupt
        return sam_losses(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr("training.sam.train.sam_losses", cut_off_in_the_fourth_step)
        with pytest.raises(KeyboardInterrupt):
            run(root, tmp_path / "run")
    assert torch.load(tmp_path / "run" / "resume.pt", weights_only=True)["step"] == 2
    resumed, whole = load_file(run(root, tmp_path / "run")), load_file(unbroken)
    assert any(name.startswith("prompt_map.") for name in whole)
    for name, tensor in whole.items():
        torch.testing.assert_close(resumed[name], tensor, rtol=1e-4, atol=1e-5)


def test_it_is_exported_with_its_prompt_map_which_is_asked_in_place_of_the_grid(
    root: Path, unbroken: Path, tmp_path: Path
) -> None:
    config = load_config(
        BundleConfig, BUNDLE_CONFIG, ["half_size_boxes=true", "prompts.map_min_value=0.0", "prompts.focus_side=0"]
    )
    export_bundle(open_run(unbroken.parent, "sam"), open_classes(DEFAULT_BUNDLE), None, config, tmp_path / "bundle")
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle.proposal_decoder == "sam_boxes"
    assert bundle.graphs["sam_boxes"].max_abs_difference["boxes"] < 0.1
    (shape,) = [tensor.shape for tensor in bundle.graphs["sam_encoder"].outputs if tensor.name == "prompt_map"]
    assert shape == ("B", 1, 8, 8)
    assert str(root.parent) not in (tmp_path / "bundle" / "bundle.json").read_text(encoding="utf-8")
    runner, image = GraphRunner(bundle, threads=1), open_dataset(root, "train").images[0]
    of_map, of_grid = (
        np.concatenate([batch.coords[:, 0] for batch in runner.propose(image, [], settings).proposal_set.prompts])
        for settings in (config.prompts, replace(config.prompts, map_max_count=0, max_prompts=GRID_PROMPTS))
    )
    assert 0 < len(of_map) <= config.prompts.map_max_count
    assert len(of_grid) >= 8 * 8

    export_with_sam(bundle, open_run(unbroken.parent, "sam"), tmp_path / "with_sam", "other", "1")
    assert load_bundle(tmp_path / "with_sam").proposal_decoder == "sam_boxes", "the bundle's choice stays"


def test_a_report_measures_so_many_objects_of_an_image_and_no_more(root: Path, unbroken: Path, tmp_path: Path) -> None:
    rows = report_sam(unbroken.parent, open_dataset(root, "train").images, tmp_path / "report.json", per_image=5)
    assert len(rows) == 3 * 1 + 3 * 5
    assert (tmp_path / "report.json").is_file()


def test_it_learns_to_rank_its_masks_and_nothing_else_of_it_changes(
    root: Path, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.sam.quality.FIT_STEPS", 150)
    sources = [f'sources=[{{data="{root}", weight=3.0}}]', "prompt_map=true", "steps=12", "group_share=0.2"]
    config = load_config(SamConfig, CONFIGS / "stages/sam.toml", [*SAM, *sources])
    before, after = load_file(unbroken), load_file(learn_quality(config, unbroken.parent, tmp_path / "judging"))
    for name, weights in before.items():
        assert torch.equal(weights, after[name]) != name.startswith("quality."), name
    judged = judge(
        load_segmenter(tmp_path / "judging"), sam_loader(config, [read_domains(source) for source in config.sources], 0)
    )
    old_error, new_error = (
        (predicted - judged.true_iou).abs().mean()
        for predicted in (judged.predicted_iou, judged.predicted_iou + _corrections(tmp_path / "judging", judged))
    )
    assert new_error < 0.5 * old_error
    assert open_run(tmp_path / "judging", "sam").config["quality"]["config"]["steps"] == 12


def _corrections(run_dir: Path, judged: JudgedMasks) -> torch.Tensor:
    with torch.inference_mode():
        corrections: torch.Tensor = load_segmenter(run_dir).quality.layers(judged.seen)[..., 0]
    return corrections
