"""An official checkpoint in small with random weights, and random runs to export beside it."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from models.labels import LabelSet
from models.labels_file import write_labels
from models.nets.cam import build_cnn_cam
from models.nets.published_sam.vit import OfficialSam, SamSizes
from models.nets.wsod import build_wsod

BACKBONE = "mobilenetv2_100"

SMALL = SamSizes(
    side_px=128,
    patch_px=16,
    width=48,
    depth=3,
    heads=3,
    window=3,
    global_blocks=(1,),
    channels=64,
    decoder_mlp=96,
    mask_channels=16,
)


def random_official_sam(sizes: SamSizes) -> OfficialSam:
    """Return a network of `sizes` with random weights."""
    torch.manual_seed(3)
    net = OfficialSam(sizes)
    with torch.no_grad():
        # Zeros as they are initialised with would hide a mistake in how positions are read.
        for name, tensor in net.image_encoder.named_parameters():
            if "pos" in name:
                tensor.normal_(0, 0.2)
    return net


def write_small_checkpoint(path: Path, sizes: SamSizes = SMALL) -> Path:
    """Save a network of `sizes` as the official checkpoints are saved: its state and nothing else."""
    torch.save(random_official_sam(sizes).state_dict(), path)
    return path


def write_random_runs(folder: Path, labels: LabelSet, side_px: int) -> tuple[Path, Path]:
    """Run folders of an untrained classifier and detector, as their trainings leave them."""
    nets = {"cam": build_cnn_cam(BACKBONE, len(labels)), "wsod": build_wsod(BACKBONE, len(labels))}
    for name, net in nets.items():
        (folder / name).mkdir(exist_ok=True)
        save_file(net.state_dict(), folder / name / f"{name}.safetensors")
        config = {"backbone": BACKBONE, "side_px": side_px}
        (folder / name / "config.json").write_text(json.dumps(config), encoding="utf-8")
        write_labels(labels, folder / name / "labels.json")
    thresholds = {"classifier": [0.0] * len(labels), "score": [0.0] * len(labels)}
    (folder / "wsod" / "thresholds.json").write_text(json.dumps(thresholds), encoding="utf-8")
    return folder / "cam", folder / "wsod"
