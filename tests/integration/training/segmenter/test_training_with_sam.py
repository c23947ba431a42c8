"""`--set sam=...` in a training, and `weaksam bundle with-sam NAME`: from official checkpoints to served bundles."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.export.sam_sources import sam_path
from models.bundle import DEFAULT_BUNDLE
from models.bundle_files.manifest import load_bundle
from tests.support.bundles.service_parts import detect_once
from tests.support.bundles.tiny_bundle import encoded, picture, write_tiny_bundle
from tests.support.segmenters.sam2 import random_sam2, write_sam2
from weaksam.cli.bundle import bundle_app
from weaksam.cli.train import train_app
from weaksam.errors import UserError

REPOSITORY = Path(__file__).resolve().parents[4]
SMOKE = REPOSITORY / "training" / "configs" / "smoke.toml"
SIDE_PX = 128
# As little as still is a training.
SHORT = (
    "data.scenes.count=12",
    "cam.steps=2",
    "wsod.epochs=1",
    "pgt=none",
    "detector=none",
    "segmenter=none",
    "bundle.post.mask_source=proposal",
    "test_limit=1",
)


def test_a_training_on_edgetam_runs_to_its_bundle(tmp_path: Path) -> None:
    checkpoint = write_sam2(tmp_path / "edgetam.pt", random_sam2("edgetam", SIDE_PX))
    settings = (f"sam={checkpoint}", f"sam_side_px={SIDE_PX}", *SHORT)
    arguments = [str(SMOKE), "--out", str(tmp_path / "run"), *(f"--set={text}" for text in settings)]
    ended = CliRunner().invoke(train_app, arguments, catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    bundle = load_bundle(tmp_path / "run" / "bundle")
    assert (bundle.side_px, bundle.provenance["runs"]["sam"]["kind"]) == (SIDE_PX, "edgetam")
    assert bundle.decoder_features == ("embedding", "fine_4", "fine_8")
    # It has no prompt map, so the classifier learnt where the default bundle's segmenter sees objects.
    (cam,) = (tmp_path / "run").glob("cam-*/config.json")
    assert json.loads(cam.read_text())["objectness_from"] == str(DEFAULT_BUNDLE)
    # Written for the default bundle's side, set for EdgeTAM's.
    assert bundle.prompts.peak_window_px == round(17 * SIDE_PX / load_bundle(DEFAULT_BUNDLE).side_px)
    assert (bundle.prompts.grid_sides, bundle.prompts.grid_min_iou) == ((4, 8), 0.8)


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of weights that `WEAKSAM_WEIGHTS_URL` names, and an empty folder to work in."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    write_sam2(folder / "sam2.1_hiera_tiny.pt", random_sam2("sam2-tiny", SIDE_PX))
    monkeypatch.setenv("WEAKSAM_WEIGHTS_URL", str(folder))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return folder


def test_a_name_is_pulled_from_the_mirror_and_its_bundle_calibrated(mirror: Path, tmp_path: Path) -> None:
    for folder in ("tiny", "data"):
        (tmp_path / folder).mkdir()
    small = write_tiny_bundle(tmp_path / "tiny")
    red = picture(((16, 16, 32, 32), (255, 0, 0)))
    for name in "abcd":
        (tmp_path / "data" / f"{name}.png").write_bytes(encoded(red))
    (tmp_path / "data" / "tags.csv").write_text("file,tags\n" + "".join(f"{name}.png,red-bolt\n" for name in "abcd"))
    options = ["--bundle", small.folder, "--out", tmp_path / "new", "--side-px", SIDE_PX, "--data", tmp_path / "data"]
    options += ["--budget-ms", "60000"]
    ended = CliRunner().invoke(bundle_app, ["with-sam", "sam2.1-tiny", *map(str, options)], catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    assert "`weaksam train own.toml --set sam=sam2.1-tiny` trains it anew" in ended.output
    assert {path.name for path in Path("weights").iterdir()} == {"sam2.1_hiera_tiny.pt", "sam2.1_hiera_tiny.pt.sha256"}
    made = load_bundle(tmp_path / "new")
    assert made.provenance["runs"]["sam"]["kind"] == "sam2-tiny"
    assert made.prompts.budget_ms == 60000
    assert made.thresholds.classifier == small.thresholds.classifier
    assert made.thresholds.score != small.thresholds.score
    found = detect_once(made.folder, red, ["red-bolt"], min_score=0)
    assert found.prompts_asked > 0


def test_a_name_that_is_neither_path_nor_weights_is_refused(mirror: Path) -> None:
    with pytest.raises(UserError, match=r"sam: edgetan is no checkpoint, .* no name of published weights: edgetam, "):
        sam_path(Path("edgetan"))
