from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from torch import nn

from deploy.export import runs
from deploy.export.sam_settings import GRID_PROMPTS, post_for, prompts_for
from models.bundle import DEFAULT_BUNDLE
from models.bundle_files.manifest import load_bundle
from models.nets.published_sam.open_published import PublishedNet, PublishedSam
from models.run_folder import Run, open_run
from models.settings import BundleConfig, PostSettings

# The default bundle's settings are for a prompt map.
FOR_MAP = load_bundle(DEFAULT_BUNDLE).prompts


GRID_AND_MAP = pytest.mark.parametrize(
    ("sam", "max_prompts"),
    [
        pytest.param({"prompt_map": False}, GRID_PROMPTS, id="no prompt map"),
        pytest.param({}, GRID_PROMPTS, id="a run of an earlier version"),
        pytest.param({"prompt_map": True}, FOR_MAP.max_prompts, id="prompt map"),
    ],
    indirect=["sam"],
)


@pytest.fixture
def sam(tmp_path: Path, request: pytest.FixtureRequest) -> Run:
    """A finished run of a compact SAM, as far as its settings."""
    (tmp_path / "sam.safetensors").touch()
    (tmp_path / "config.json").write_text(json.dumps({"side_px": 384} | request.param))
    return open_run(tmp_path, "sam")


@GRID_AND_MAP
def test_without_a_prompt_map_there_is_room_for_a_grid(sam: Run, max_prompts: int) -> None:
    assert FOR_MAP.max_prompts < GRID_PROMPTS
    assert prompts_for(sam, FOR_MAP, 384) == replace(FOR_MAP, max_prompts=max_prompts)
    assert prompts_for(sam, replace(FOR_MAP, max_prompts=300), 384).max_prompts == 300


@GRID_AND_MAP
@pytest.mark.parametrize("fit_prompts", [True, False])
def test_so_there_is_in_the_whole_path_unless_settings_hold_as_written(
    sam: Run, max_prompts: int, fit_prompts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cam.safetensors").touch()
    exported: list[BundleConfig] = []
    monkeypatch.setattr(
        runs, "export_bundle", lambda sam, cam, wsod, config, out_dir, detector: exported.append(config)
    )
    config = BundleConfig("mine", "1", FOR_MAP, PostSettings())
    runs.export_runs({"cam": tmp_path}, sam.folder, config, tmp_path / "bundle", fit_prompts=fit_prompts)
    expected = replace(FOR_MAP, max_prompts=max_prompts) if fit_prompts else FOR_MAP
    assert [config.prompts for config in exported] == [expected]


@pytest.mark.parametrize("sam", [{"prompt_map": True}], indirect=True)
def test_colours_move_the_outlines_of_a_compact_sam_alone(sam: Run, tmp_path: Path) -> None:
    post = PostSettings(colour_weight=0.4)
    published = PublishedSam(tmp_path, "vit_b", cast(PublishedNet, nn.Identity()))
    assert post_for(sam, post) == post
    assert post_for(published, post) == replace(post, colour_weight=0.0)
