"""The images of a run: data sets as they are given, and those that the run generates."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from models.labels import LabelSet
from training.data.mosaics import make_mosaics
from training.data.open_dataset import open_dataset
from training.data.open_together import open_splits, with_learnt_labels
from training.data.tagged import TaggedImage, with_known_objects
from training.pipeline.bad_images import without_bad_images
from training.pipeline.config import NO_TEST, DataConfig, ScenesConfig
from training.pipeline.stages import MOSAICS, SCENES
from training.runs.image_digests import ImageDigests
from training.runs.problems import print_problems
from training.runs.ranks import is_first_rank, track_first
from training.runs.stage import run_stage
from training.scenes.generate import generate_scenes
from weaksam.errors import UserError


class TestSplit(NamedTuple):
    """A data set to measure on: the name that it has in reports, its folder, split and images."""

    name: str
    folder: Path
    split: str
    images: tuple[TaggedImage, ...]


@dataclass(frozen=True)
class RunData:
    """What a run learns from (`fit`), calibrates on (`val`) and is measured on (`tests`)."""

    fit: list[TaggedImage]
    val: list[TaggedImage]
    tests: list[TestSplit]
    labels: LabelSet


def open_data(
    config: DataConfig, seed: int, run_dir: Path, digests: ImageDigests, test_limit: int | None = None
) -> RunData:
    """Open the data sets of a run, generating first what is to be generated; ``test_limit`` is of each test set.

    Raises UserError where something is missing, test images included: a run of hours must not end with that.
    """
    split_of = {"fit": config.fit, "val": config.val, "test": config.test}
    if config.test == NO_TEST:
        del split_of["test"]
    parts = {role: [(folder, split) for folder in config.folders] for role, split in split_of.items()}
    if config.mosaics is not None:
        counts = vars(config.mosaics)
        for role, sources in parts.items():
            folder, split = sources[0]
            sources[0] = _mosaics(run_dir, folder, split, role, counts[role], seed, digests), role
    if config.scenes is not None:
        scenes = _scenes(run_dir, config.scenes, seed)
        for role, sources in parts.items():
            sources.append((scenes, role))
    fit = open_splits(parts["fit"], config.background)
    val = with_learnt_labels(open_splits(parts["val"], config.background), fit.labels)
    print_problems((*fit.problems, *val.problems), dict.fromkeys((*fit.notes, *val.notes)))
    subsample = -(-len(val.images) // config.val_limit) if config.val_limit else 1
    tests = _open_tests(parts.get("test", []), test_limit)
    fit_images, val_images = (
        without_bad_images(images, run_dir, digests, config.on_bad_image)
        for images in (fit.images, val.images[::subsample])
    )
    for test in tests:  # what is measured is the whole set or nothing
        without_bad_images(test.images, run_dir, digests, "stop")
    return RunData(fit_images, val_images, tests, fit.labels)


def _open_tests(tests: Sequence[tuple[Path, str]], limit: int | None) -> list[TestSplit]:
    """Each data set by its folder's name; of equal ones, those after the first with a number."""
    opened: list[TestSplit] = []
    for folder, split in tests:
        same = sum(test.folder.name == folder.name for test in opened)
        images = with_known_objects(open_dataset(folder, split).images)[:limit]
        if not any(image.objects for image in images):
            raise UserError(
                f"data.test: {folder} has no boxes in split {split!r} to measure on: name another, or set it to "
                f"{NO_TEST!r}"
            )
        opened.append(TestSplit(f"{folder.name}-{same + 1}" if same else folder.name, folder, split, images))
    return opened


def _scenes(run_dir: Path, config: ScenesConfig, seed: int) -> Path:
    size_hw = (config.height_px, config.width_px)

    def make(folder: Path) -> None:
        _generate(
            folder / "scenes", lambda out: track_first(generate_scenes(out, config.count, seed, size_hw), "scenes")
        )

    settings = {"count": config.count, "seed": seed, "size_hw": list(size_hw)}
    done = run_stage(run_dir, SCENES, settings, {}, make)
    return done.folder / "scenes"


def _mosaics(run_dir: Path, source: Path, split: str, role: str, count: int, seed: int, digests: ImageDigests) -> Path:
    dataset = open_dataset(source, split)
    dataset = replace(dataset, images=tuple(without_bad_images(dataset.images, run_dir, digests, "skip")))

    def make(folder: Path) -> None:
        _generate(folder / "mosaics", lambda out: track_first(make_mosaics(dataset, role, out, count, seed), "mosaics"))

    inputs = {"pictures": digests.of_images(dataset.images)}
    done = run_stage(run_dir, f"{MOSAICS}-{role}", {"count": count, "seed": seed}, inputs, make)
    return done.folder / "mosaics"


def _generate(out_dir: Path, write: Callable[[Path], Iterable[str]]) -> None:
    """Have ``write`` fill a new folder beside ``out_dir``, and give it that name when it is complete."""
    if not is_first_rank():
        return
    partial = out_dir.with_name(f"{out_dir.name}.part")
    for left_over in (partial, out_dir):
        shutil.rmtree(left_over, ignore_errors=True)
    for _ in write(partial):
        pass
    partial.rename(out_dir)
