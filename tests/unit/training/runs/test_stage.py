from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from training.runs.stage import run_stage


@dataclass(frozen=True)
class Settings:
    lr: float = 0.1
    weights: str = "none"
    loader_workers: int = 0
    checkpoint_steps: int = 10


def writer(text: str, calls: list[Path]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        calls.append(folder)
        (folder / "net.bin").write_text(text)

    return make


def test_a_finished_stage_is_skipped(tmp_path: Path) -> None:
    calls: list[Path] = []
    for _ in range(2):
        done = run_stage(tmp_path, "cam", Settings(), {"data": "d1"}, writer("a", calls), ["net.bin"])
    assert calls == [done.folder]
    assert done.folder.name.startswith("cam-")


@pytest.mark.parametrize(
    ("settings", "inputs", "again"),
    [
        pytest.param(Settings(lr=0.2), {"data": "d1"}, True, id="setting"),
        pytest.param(Settings(), {"data": "d2"}, True, id="input"),
        pytest.param(Settings(loader_workers=4), {"data": "d1"}, False, id="workers"),
        pytest.param(Settings(checkpoint_steps=5), {"data": "d1"}, False, id="checkpoints"),
    ],
)
def test_what_a_result_depends_on_decides(
    settings: Settings, inputs: dict[str, str], again: bool, tmp_path: Path
) -> None:
    calls: list[Path] = []
    run_stage(tmp_path, "cam", Settings(), {"data": "d1"}, writer("a", calls), ["net.bin"])
    run_stage(tmp_path, "cam", settings, inputs, writer("b", calls), ["net.bin"])
    assert len(set(calls)) == (2 if again else 1)


def test_weights_count_by_their_content(tmp_path: Path) -> None:
    calls: list[Path] = []
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    for path, text in ((first, "same"), (second, "same"), (second, "other")):
        path.write_text(text)
        run_stage(tmp_path, "cam", Settings(weights=str(path)), {}, writer("a", calls), ["net.bin"])
    assert len(calls) == 2


def test_an_unfinished_stage_gets_its_folder_back(tmp_path: Path) -> None:
    def cut_off(folder: Path) -> None:
        (folder / "resume.pt").write_text("half")
        raise KeyboardInterrupt

    calls: list[Path] = []
    with pytest.raises(KeyboardInterrupt):
        run_stage(tmp_path, "cam", Settings(), {}, cut_off, ["net.bin"])
    done = run_stage(tmp_path, "cam", Settings(), {}, writer("a", calls), ["net.bin"])
    assert calls == [done.folder]
    assert (done.folder / "resume.pt").read_text() == "half"


def test_a_stage_that_lost_its_product_runs_again(tmp_path: Path) -> None:
    calls: list[Path] = []
    done = run_stage(tmp_path, "cam", Settings(), {}, writer("a", calls), ["net.bin"])
    (done.folder / "net.bin").unlink()
    run_stage(tmp_path, "cam", Settings(), {}, writer("a", calls), ["net.bin"])
    assert len(calls) == 2


def test_later_stages_see_what_came_out_and_not_how(tmp_path: Path) -> None:
    calls: list[Path] = []
    settings = Settings()
    digests = [
        run_stage(tmp_path, "cam", replace(settings, lr=lr), {}, writer(text, calls), ["net.bin"]).digest
        for lr, text in ((0.1, "a"), (0.2, "a"), (0.3, "b"))
    ]
    assert digests[0] == digests[1] != digests[2]
    keys = [run_stage(tmp_path, "proposals", {"every": n}, {}, writer("a", calls)).digest for n in (1, 2)]
    assert keys[0] != keys[1]
