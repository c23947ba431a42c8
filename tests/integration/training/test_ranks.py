"""Two ranks give what one gives, on real processes that talk over gloo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from models.bundle import Bundle
from tests.support.bundles.tiny_bundle import write_tiny_bundle
from tests.support.distributed.ranks import REPOSITORY, run_on_ranks
from training.data.dataset_writer import write_lines
from training.proposals.store import StoredProposals
from weaksam.formats.voc import VocObject, write_voc_annotation

COLOURS = {"red-bolt": (255, 0, 0), "green-nut": (0, 255, 0), "blue-wrench": (0, 0, 255)}
PICTURES = 5  # an odd number: the ranks' parts differ in size


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grey pictures with one or two coloured patches, in VOC layout."""
    root = tmp_path_factory.mktemp("patches")
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(5)
    for number in range(PICTURES):
        picture = Image.new("RGB", (96, 64), (128, 128, 128))
        things = []
        for place, label in enumerate(rng.permutation(list(COLOURS))[: 1 + number % 2]):
            x0, y0 = 8 + 48 * place, 8 + int(rng.integers(0, 20))
            box = (x0, y0, x0 + int(rng.integers(16, 36)), y0 + int(rng.integers(16, 30)))
            picture.paste(COLOURS[str(label)], box)
            things.append(VocObject(str(label), (float(box[0]), float(box[1]), float(box[2]), float(box[3]))))
        picture.save(root / "JPEGImages" / f"{number}.png")
        write_voc_annotation(root / "Annotations" / f"{number}.xml", f"{number}.png", (64, 96), things)
    write_lines(root / "ImageSets" / "Main" / "train.txt", [str(number) for number in range(PICTURES)])
    return root


def test_stages_over_pictures_give_the_same_on_two_ranks(bundle: Bundle, data: Path, tmp_path: Path) -> None:
    outs = {ranks: tmp_path / str(ranks) for ranks in (1, 2)}
    for ranks, out in outs.items():
        out.mkdir()
        run_on_ranks(ranks, "tests.support.distributed.rank_work", bundle.folder, data, out)

    assert (outs[2] / "rank-1-of-2").exists(), "the second rank must have taken part"
    one, two = (np.load(out / "proposals.npz") for out in outs.values())
    assert one.files == two.files
    assert len(one.files) == len(fields(StoredProposals)) * PICTURES
    assert sum(one[name].size for name in one.files) > 0
    for name in one.files:
        np.testing.assert_array_equal(one[name], two[name])
    metrics = [json.loads((out / "metrics.json").read_text()) for out in outs.values()]
    assert metrics[0] == metrics[1]
    assert metrics[0]["images"] == PICTURES
    assert 0 < metrics[0]["ap50_tagged"] <= 1
    labels = [json.loads((out / "pgt/annotations/instances_train.json").read_text()) for out in outs.values()]
    assert labels[0] == labels[1]
    assert len(labels[0]["annotations"]) >= PICTURES


def test_a_training_takes_the_same_steps_on_two_ranks(data: Path, tmp_path: Path) -> None:
    runs = {"start": (1, "0.0"), "one": (1, "1e-4"), "two": (2, "1e-4")}
    for name, (ranks, lr) in runs.items():
        run_on_ranks(ranks, "tests.support.distributed.rank_training", data, tmp_path / name, lr)

    start, one, two = (load_file(tmp_path / name / "cam.safetensors") for name in runs)
    moved = sum(float((one[key] - start[key]).square().sum()) for key in one) ** 0.5
    apart = sum(float((one[key] - two[key]).square().sum()) for key in one) ** 0.5
    assert moved > 0.01
    # Sums in another order round otherwise, and Adam makes full steps of gradients that are nearly zero.
    assert apart < 0.02 * moved
    steps = [(tmp_path / name / "log.jsonl").read_text().count("\n") for name in ("one", "two")]
    assert steps[0] == steps[1], "the first rank alone writes"


def test_ranks_started_by_slurm_join() -> None:
    """What srun sets for two tasks on one machine."""
    code = (
        "import atexit\n"
        "from torch import distributed\n"
        "atexit.register(lambda: print('joined at exit', distributed.is_initialized()))\n"  # it runs last
        "from training.runs.devices import start_fabric\n"
        "from training.runs.ranks import my_share, rank, rank_count, wait_for_ranks\n"
        "start_fabric('32-true', 0)\n"
        "wait_for_ranks()\n"
        "print('rank', rank(), 'of', rank_count(), list(my_share(range(5))))\n"
    )
    job = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_JOB_NAME": "train", "SLURM_NODELIST": "127.0.0.1"}
    tasks = {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "1", "SLURM_NODEID": "0"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=REPOSITORY,
            env={**os.environ, **job, **tasks, "SLURM_PROCID": rank, "SLURM_LOCALID": rank, "CUDA_VISIBLE_DEVICES": ""},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    said = [process.communicate(timeout=600)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert "rank 0 of 2 [0, 2, 4]" in said[0]
    assert "rank 1 of 2 [1, 3]" in said[1]
    assert all("joined at exit False" in lines for lines in said), "its threads may abort the process"


def test_drop_on_two_ranks_drops_and_teaches_what_one_would(tmp_path: Path) -> None:
    for ranks in (1, 2):
        run_on_ranks(ranks, "tests.support.distributed.rank_drop", tmp_path / f"{ranks}.npz")
    one, two = (np.load(tmp_path / f"{ranks}.npz") for ranks in (1, 2))
    for kind, most in (("queries", 10), ("rois", 18)):
        assert 0 < one[f"dropped_{kind}"] < most
        assert two[f"dropped_{kind}"] == one[f"dropped_{kind}"]
        np.testing.assert_allclose(two[kind], one[kind], rtol=1e-4, atol=1e-7)
