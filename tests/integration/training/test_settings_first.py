"""A mistake in the settings is told before torch is imported, which takes many seconds, and before data is read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ABSENT = ("torch", "torchvision", "timm", "transformers", "lightning_fabric")
COMMAND = f"import sys; sys.modules.update(dict.fromkeys({ABSENT!r})); from weaksam.cli.main import main; main()"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        pytest.param(
            "smoke.toml --set cam.stpes=3", "cam: unknown key 'stpes': did you mean 'steps'?", id="whole path"
        ),
        pytest.param(
            "smoke.toml --set detectr.steps=3", "unknown key 'detectr': did you mean 'detector'?", id="section"
        ),
        pytest.param("cam --config stages/cam.toml --data absent", "unknown key 'stpes'", id="cam"),
        pytest.param(
            "wsod --config stages/wsod.toml --data absent --cam a --proposals b", "unknown key 'stpes'", id="wsod"
        ),
        pytest.param("pgt --config stages/pgt.toml --data absent --bundle a", "unknown key 'stpes'", id="pgt"),
        pytest.param("detector --config stages/detector.toml --data absent", "unknown key 'stpes'", id="detector"),
        pytest.param("sam --config stages/sam.toml", "unknown key 'stpes'", id="sam"),
        pytest.param("sam-quality --config stages/sam.toml --run absent", "unknown key 'stpes'", id="sam-quality"),
    ],
)
def test_a_misspelt_setting_is_told_before_torch_and_data(
    words: str, sentence: str, tmp_path: Path, repository_dir: Path
) -> None:
    configs = repository_dir / "training" / "configs"
    given = [str(configs / word) if word.endswith(".toml") else word for word in words.split()]
    wrong = [] if "--set" in given else ["--set", "stpes=3"]
    command = [sys.executable, "-c", COMMAND, "train", *given, *wrong, "--out", str(tmp_path / "run")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=repository_dir)
    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert not (tmp_path / "run").exists()
