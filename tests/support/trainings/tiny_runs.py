"""Trainings of seconds: a few small scenes, a few steps, small pictures."""

from __future__ import annotations

from pathlib import Path

from models.config import load_config
from training.classifier.config import CamConfig
from training.classifier.train import train_cam
from training.data.open_together import open_together
from training.sam.config import SamConfig
from training.sam.train import train_sam
from training.scenes.generate import generate_scenes
from training.wsod.config import WsodConfig
from training.wsod.train import train_wsod

CONFIGS = Path(__file__).resolve().parents[3] / "training" / "configs"
SMALL = ["side_px=64", "precision=32-true", "warmup_steps=1"]
# So slow that it still draws something everywhere: what has learnt for six steps at full speed draws nothing at all.
SAM = [
    *SMALL,
    "steps=6",
    "batch_images=2",
    "prompts_per_image=2",
    "loader_workers=0",
    "checkpoint_steps=2",
    "lr=1e-5",
]
CAM = [*SMALL, "steps=6", "batch=2", "backbone_weights=none", "loader_workers=0", "checkpoint_steps=2"]
WSOD = [*SMALL, "subsample=1", "epochs=2", "batch=4", "checkpoint_steps=4"]


def make_scenes(folder: Path) -> Path:
    list(generate_scenes(folder, 24, 3, (96, 128)))
    return folder


def run_sam(out: Path, *overrides: str) -> Path:
    return train_sam(load_config(SamConfig, CONFIGS / "stages/sam.toml", [*SAM, *overrides]), out)


def run_cam(data: Path, out: Path, *overrides: str) -> Path:
    fit, held_out = open_together([data], "fit"), open_together([data], "val")
    config = load_config(CamConfig, CONFIGS / "stages/cam.toml", [*CAM, *overrides])
    return train_cam(config, fit.images, held_out.images, fit.labels, out)


def run_wsod(data: Path, cam: Path, proposals: Path, store: Path, out: Path, *overrides: str) -> Path:
    fit, held_out = open_together([data], "fit"), open_together([data], "val")
    config = load_config(WsodConfig, CONFIGS / "stages/wsod.toml", [*WSOD, *overrides])
    return train_wsod(config, cam, proposals, fit.images, held_out.images, fit.labels, store, out)
