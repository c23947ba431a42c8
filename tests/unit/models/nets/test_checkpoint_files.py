from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from models.bundle import DEFAULT_BUNDLE
from models.nets.checkpoint_files import load_weights, read_weights
from training.runs.checkpoints import resume_checkpoint, save_checkpoint, save_weights
from weaksam.errors import UserError


def _optimizer(net: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(net.parameters())


def test_weights_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    net, path = nn.Linear(2, 3), tmp_path / "cam.safetensors"
    save_weights(net, path)
    load_weights(nn.Linear(2, 3), path)
    with pytest.raises(UserError, match=r"cam\.safetensors is of another network than the files beside it say"):
        load_weights(nn.Linear(2, 4), path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(UserError, match=r"cam\.safetensors is damaged .*: copy it again, or repeat its training"):
        load_weights(net, path)


def test_a_graph_that_was_cut_off_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cam.onnx"
    path.write_bytes((DEFAULT_BUNDLE / "cam.onnx").read_bytes()[:1000])
    with pytest.raises(UserError, match=r"cam\.onnx is damaged .*: copy it again, or repeat its training"):
        read_weights(path)


def test_a_checkpoint_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    net = nn.Linear(2, 3)
    save_checkpoint(tmp_path, net, _optimizer(net), 5)
    assert resume_checkpoint(tmp_path, net, _optimizer(net)) == 5
    other, path = nn.Linear(2, 4), tmp_path / "resume.pt"
    whole = path.read_bytes()
    with pytest.raises(UserError, match=r"resume\.pt is damaged, or of another network .*remove it to start anew"):
        resume_checkpoint(tmp_path, other, _optimizer(other))
    for part in (b"", whole[: len(whole) // 2]):
        path.write_bytes(part)
        with pytest.raises(UserError, match=r"resume\.pt is damaged, or of another network"):
            resume_checkpoint(tmp_path, net, _optimizer(net))
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(UserError, match=r"resume\.pt is damaged, or of another network"):
        resume_checkpoint(tmp_path, net, _optimizer(net))
