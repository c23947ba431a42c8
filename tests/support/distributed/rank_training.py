"""What a test starts on one rank or several: a few steps of a training whose losses are means over pictures.

    python -m tests.support.distributed.rank_training DATA OUT LR        (or by torchrun, --nproc-per-node 2 -m ...)

WeakTr has neither batch normalisation nor dropout, so that gradients averaged over ranks are those of the whole batch.
"""

from __future__ import annotations

import sys
from pathlib import Path

from models.config import load_config
from training.classifier.config import CamConfig
from training.classifier.train import train_cam
from training.data.open_together import open_together

CONFIG = Path(__file__).resolve().parents[3] / "training" / "configs" / "stages" / "cam.toml"
SETTINGS = [
    "architecture=weaktr",
    "backbone=vit_tiny_patch16_224",
    "backbone_weights=none",
    "weaktr.cross_blocks=[10]",
    "side_px=64",
    "steps=4",
    "batch=4",
    "mosaic_prob=0.0",
    "loss_weights.loss_background=0.0",
    "warmup_steps=1",
    "precision=32-true",
    "loader_workers=0",
    "checkpoint_steps=2",
]


def main(data: Path, out: Path, lr: str) -> None:
    opened = open_together([data], "train")
    settings = load_config(CamConfig, CONFIG, [*SETTINGS, f"lr={lr}"])
    train_cam(settings, opened.images, opened.images, opened.labels, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
