"""Checkpoints of every format from a server that cuts, lies and serves wrong bytes: one sentence, nothing executed."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from deploy.weights.download import pull_weights
from deploy.weights.published import WeightsError, WeightsFile
from models.nets.checkpoint_files import CheckpointError
from models.nets.published_sam.open_published import open_published
from tests.support.segmenters.mobile_sam import official_state as mobile_sam_state
from tests.support.segmenters.mobile_sam import random_mobile_sam
from tests.support.segmenters.official_sam import SMALL, random_official_sam
from tests.support.segmenters.sam2 import official_state, random_sam2
from tests.support.servers.file_server import FileServer, serving

SIDE_PX = 128

State = Mapping[str, torch.Tensor]
# The tensors of each network, and how its publisher wraps them.
STATES: dict[str, Callable[[], State]] = {
    "edgetam": lambda: official_state(random_sam2("edgetam", SIDE_PX)),
    "sam2-tiny": lambda: official_state(random_sam2("sam2-tiny", SIDE_PX)),
    "mobilesam": lambda: mobile_sam_state(random_mobile_sam(SIDE_PX)),
    "vit": lambda: random_official_sam(SMALL).state_dict(),
}
WRAPPED = ("edgetam", "sam2-tiny")


def saved(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


@pytest.fixture(scope="module", params=[*STATES, "safetensors"])
def checkpoint(request: pytest.FixtureRequest) -> tuple[str, State, bytes]:
    """Name of a file, its tensors and its bytes, as published."""
    kind = request.param
    state = STATES["mobilesam" if kind == "safetensors" else kind]()
    if kind == "safetensors":
        return "net.safetensors", state, save({key: tensor.contiguous() for key, tensor in state.items()})
    return "net.pt", state, saved({"model": state} if kind in WRAPPED else state)


def pulled(name: str, server: FileServer, folder: Path, size_bytes: int | None = None) -> Path:
    with serving(server) as address:
        weights = WeightsFile("net", f"{address}/{name}", "edgetam", "tests", size_bytes)
        return pull_weights(weights, folder, first_wait_s=0.001)


def test_a_download_that_is_cut_arrives_and_opens(checkpoint: tuple[str, State, bytes], tmp_path: Path) -> None:
    name, _, content = checkpoint
    server = FileServer(content, cuts=2)
    path = pulled(name, server, tmp_path)
    assert path.read_bytes() == content
    assert len(server.ranges) == 3
    assert open_published(path, SIDE_PX).net.side_px == SIDE_PX  # the small ViT's own side too


def test_a_server_that_lies_about_the_size_is_refused(checkpoint: tuple[str, State, bytes], tmp_path: Path) -> None:
    name, _, content = checkpoint
    with pytest.raises(WeightsError, match=rf"says that the file has {len(content) - 1} bytes, net has {len(content)}"):
        pulled(name, FileServer(content, length=len(content) - 1), tmp_path, len(content))
    assert not (tmp_path / name).exists()


class Code:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_code_in_a_checkpoint_is_not_executed(checkpoint: tuple[str, State, bytes], tmp_path: Path) -> None:
    name, state, _ = checkpoint
    executed = tmp_path / "executed"
    few = dict(list(state.items())[:3])
    for number, value in enumerate(({"model": {**few, "more": Code(executed)}}, {**few, "more": Code(executed)})):
        for content in (saved(value), pickle.dumps(value)):
            path = pulled(name, FileServer(content), tmp_path / f"{number}-{len(content)}")
            assert_one_sentence(path, "cannot be read as a checkpoint of plain tensors")
    assert not executed.exists()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: content[: len(content) // 2], id="truncated"),
        pytest.param(lambda content: content[:-1], id="one byte short"),
        pytest.param(lambda content: bytes(len(content) // 2) + content[len(content) // 2 :], id="half zeros"),
        pytest.param(lambda content: b"<html>Not found</html>", id="a page"),
        pytest.param(lambda content: b"\0", id="a byte"),
    ],
)
def test_wrong_bytes_are_one_sentence(
    checkpoint: tuple[str, State, bytes], damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    name, _, content = checkpoint
    path = pulled(name, FileServer(damage(content)), tmp_path)
    assert_one_sentence(path, "cannot be read as a checkpoint of plain tensors")


def test_the_tensors_of_another_network_are_one_sentence(checkpoint: tuple[str, State, bytes], tmp_path: Path) -> None:
    name, state, _ = checkpoint
    renamed = {f"encoder.{key}": tensor.contiguous() for key, tensor in state.items()}
    content = save(renamed) if name.endswith(".safetensors") else saved(renamed)
    assert_one_sentence(pulled(name, FileServer(content), tmp_path), "no published segmenter")


def assert_one_sentence(path: Path, part: str) -> None:
    with pytest.raises(CheckpointError, match=part) as refused:
        open_published(path)
    assert str(refused.value).startswith(str(path))
    assert "\n" not in str(refused.value)
