"""RoI features on disk, of pictures of noise with proposals made by hand."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.labels import Label, LabelSet
from models.nets.wsod import POOLED_SIDE, Wsod, build_wsod
from training.data.tagged import TaggedImage, TrueObject
from training.proposals.store import StoredProposals
from training.wsod.roi_store import ExampleFile, pool_images, pool_quarters

LABELS = LabelSet((Label("Nut"), Label("Bolt")))
SIDE_PX, HALF_PX, SEED = 64, 32, 3
WHOLE_XYXY = [0.0, 0.0, SIDE_PX, SIDE_PX]

Pooled = tuple[list[ExampleFile], list[ExampleFile]]  # of pictures as they are served, and as quarters of a canvas


@pytest.fixture(scope="module")
def net() -> Wsod:
    torch.manual_seed(0)
    return build_wsod("mobilenetv2_050", len(LABELS)).eval()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[TaggedImage]:
    """Five pictures of twice the side, with an easy bolt over all of it, a difficult nut and a thing of no class."""
    folder, rng, side_px = tmp_path_factory.mktemp("noise"), np.random.default_rng(0), 2 * SIDE_PX
    found = []
    for number in range(5):
        path = folder / f"{number}.png"
        Image.fromarray(rng.integers(0, 256, (side_px, side_px, 3), dtype=np.uint8)).save(path)
        objects = (
            TrueObject("Nut", (0.0, 0.0, 9.0, 9.0), difficult=True),
            TrueObject("Wing", (3.0, 3.0, 9.0, 9.0)),
            TrueObject("Bolt", (0.0, 0.0, side_px, side_px)),
        )
        found.append(TaggedImage(str(number), path, (side_px, side_px), ("Bolt",), objects))
    return found


@pytest.fixture(scope="module")
def proposals() -> list[StoredProposals]:
    """The whole picture, but none in the last one."""
    boxes_xyxy, iou, scores = np.array([WHOLE_XYXY], np.float32), np.full(1, 0.5, np.float32), np.zeros(2, np.float32)
    overlap = np.full((1, 2), 0.25, np.float32)
    empty = StoredProposals(boxes_xyxy[:0], iou[:0], overlap[:0], scores)
    return [*[StoredProposals(boxes_xyxy, iou, overlap, scores)] * 4, empty]


def pool(net: Wsod, images: list[TaggedImage], proposals: list[StoredProposals], folder: Path) -> Pooled:
    whole = pool_images(net, images, proposals, LABELS, SIDE_PX, folder)
    return whole, pool_quarters(net, images, proposals, LABELS, SIDE_PX, SEED, folder)


@pytest.fixture(scope="module")
def pooled(
    net: Wsod,
    images: list[TaggedImage],
    proposals: list[StoredProposals],
    tmp_path_factory: pytest.TempPathFactory,
) -> Pooled:
    return pool(net, images, proposals, tmp_path_factory.mktemp("features"))


def test_an_example_is_what_the_head_would_see_of_the_served_picture(pooled: Pooled) -> None:
    files, _ = pooled
    assert [file.proposals for file in files] == [1, 1, 1, 1, 0]
    first, last = files[0].read(), files[-1].read()
    assert first.pooled.shape == (1, 128, POOLED_SIDE, POOLED_SIDE)
    assert first.pooled.dtype == torch.float16
    assert first.pooled.float().std() > 0
    assert first.boxes_xyxy.tolist() == [WHOLE_XYXY]
    assert (first.tags.tolist(), first.predicted_iou.tolist()) == ([0.0, 1.0], [0.5])
    assert last.pooled.shape == (0, 128, POOLED_SIDE, POOLED_SIDE)


def test_objects_that_are_difficult_or_of_no_class_are_nothing_to_learn_from(pooled: Pooled) -> None:
    for file in (*pooled[0], *pooled[1]):
        assert file.read().true_labels.tolist() == [LABELS.index("Bolt")]
        assert len(file.read().true_boxes_xyxy) == 1


def test_boxes_and_objects_move_with_their_picture_into_its_quarter(pooled: Pooled) -> None:
    _, files = pooled
    corners = [[x, y, x + HALF_PX, y + HALF_PX] for y in (0, HALF_PX) for x in (0, HALF_PX)]
    places = [file.read().true_boxes_xyxy[0].tolist() for file in files]
    assert places == [*corners, corners[0]], "four on the first canvas, one on the second"
    assert all(file.read().boxes_xyxy.tolist() in ([place], []) for file, place in zip(files, places, strict=True))


def test_features_that_lie_there_are_not_made_again(
    net: Wsod, images: list[TaggedImage], proposals: list[StoredProposals], tmp_path: Path
) -> None:
    whole, quarters = pool(net, images, proposals, tmp_path)
    for file in (*whole, *quarters):
        os.utime(file.path, (0, 0))
    whole[2].path.unlink()
    quarters[1].path.unlink()

    assert pool(net, images, proposals, tmp_path) == (whole, quarters)
    made = [file for file in (*whole, *quarters) if file.path.stat().st_mtime > 0]
    assert made == [whole[2], *quarters[:4]], "a canvas of four is made whole"
