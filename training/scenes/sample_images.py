"""The repository's sample images: five scenes with tags.csv beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.data.dataset_writer import write_jpeg, write_tags_csv
from training.scenes.scene import draw_scene

SAMPLE_SIZE_HW = (480, 640)
SAMPLE_SEEDS = {"apron": 5, "bay": 7, "hangar": 12, "runway": 9, "taxiway": 30}  # chosen by eye, for variety
_QUALITY = 85


def write_sample_images(out_dir: Path) -> list[Path]:
    """Write the images and tags.csv into `out_dir`, overwriting them, and return the files."""
    out_dir.mkdir(parents=True, exist_ok=True)
    tags_of_file: dict[str, list[str]] = {}
    for name, seed in SAMPLE_SEEDS.items():
        image = draw_scene(np.random.default_rng(seed), SAMPLE_SIZE_HW)
        tags_of_file[f"{name}.jpg"] = sorted(set(image.labels))
        write_jpeg(out_dir / f"{name}.jpg", image.image_hwc_u8, _QUALITY)
    write_tags_csv(out_dir / "tags.csv", tags_of_file)
    return [*(out_dir / file for file in tags_of_file), out_dir / "tags.csv"]
