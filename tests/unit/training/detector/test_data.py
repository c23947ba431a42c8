from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.bundles.tiny_bundle import LABELS
from tests.support.trainings.patches import make_patches, write_pseudo_labels
from training.data.tagged import TaggedImage
from training.detector.data import LabelledScenes, ScenePlan, labelled_images, stack_scenes


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[TaggedImage]:
    return make_patches(tmp_path_factory.mktemp("patches") / "images", 6)


def plan(mosaic_prob: float, masks: bool = True) -> ScenePlan:
    return ScenePlan((64, 96), mosaic_prob, batch=2, masks=masks, seed=3)


@pytest.mark.parametrize("mosaic_prob", [0.0, 1.0])
def test_boxes_and_masks_lie_on_their_objects_whatever_was_done_to_the_pictures(
    images: list[TaggedImage], mosaic_prob: float
) -> None:
    scenes = LabelledScenes(labelled_images(images, (), masks=True), LABELS, plan(mosaic_prob), range(12))
    sides = set()
    for i in range(12):
        scene = scenes[i]
        sides.add(scene.image_hwc_u8.shape[0])
        assert scene.image_hwc_u8.dtype == torch.uint8
        assert len(scene.target.boxes_xyxy) == len(scene.target.labels) == len(scene.target.masks) > 0
        torch.testing.assert_close(
            scene.true_boxes[: len(scene.target.boxes_xyxy)].sum(), scene.target.boxes_xyxy.sum()
        )
        for box, label, mask in zip(*scene.target, strict=True):
            x0, y0, x1, y1 = box.round().int().tolist()
            # Colours are changed at random, but never so far that another channel leads; edges are blurred.
            inside = scene.image_hwc_u8[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2].float()
            assert inside.mean(dim=(0, 1)).argmax() == label - 1
            rows, columns = torch.nonzero(mask.any(dim=1)).flatten(), torch.nonzero(mask.any(dim=0)).flatten()
            drawn = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
            np.testing.assert_allclose(drawn, [x0, y0, x1, y1], atol=1)
    assert sides == {64, 96}


def test_a_canvas_is_a_function_of_its_number_alone(images: list[TaggedImage]) -> None:
    rows = labelled_images(images, (), masks=False)
    whole = LabelledScenes(rows, LABELS, plan(0.5, masks=False), range(8))
    rest = LabelledScenes(rows, LABELS, plan(0.5, masks=False), range(4, 8))
    for i in range(4):
        assert torch.equal(whole[4 + i].image_hwc_u8, rest[i].image_hwc_u8)
        assert torch.equal(whole[4 + i].target.boxes_xyxy, rest[i].target.boxes_xyxy)
    assert {len(whole[i].target.masks) for i in range(8)} == {0}
    pictures, targets, true_boxes, true_labels = stack_scenes([whole[0], whole[1]])
    assert len(pictures) == len(targets) == len(true_boxes) == len(true_labels) == 2


def test_labels_are_found_by_the_file_and_those_of_copies_by_id(images: list[TaggedImage], tmp_path: Path) -> None:
    annotations = write_pseudo_labels(images[:4], tmp_path / "pgt")
    linked = labelled_images(images, [annotations], masks=True)
    assert [row.image.id for row in linked] == [image.id for image in images[:4]]
    assert [row.objects for row in linked] == [image.objects for image in images[:4]]
    moved = tmp_path / "moved"
    moved.mkdir()
    copies = [replace(image, path=Path(shutil.copy(image.path, moved))) for image in images]
    assert len(labelled_images(copies, [annotations], masks=True)) == 4


def test_labels_of_several_files_are_learnt_together(images: list[TaggedImage], tmp_path: Path) -> None:
    files = [write_pseudo_labels(part, tmp_path / str(i)) for i, part in enumerate((images[:2], images[3:5]))]
    rows = labelled_images(images, files, masks=False)
    assert [row.image.id for row in rows] == [images[i].id for i in (0, 1, 3, 4)]


def test_true_objects_of_the_pictures_are_kept_beside_pseudo_ones(images: list[TaggedImage], tmp_path: Path) -> None:
    wrong = [replace(image, objects=image.objects[:1]) for image in images]
    annotations = write_pseudo_labels(wrong, tmp_path / "pgt")
    rows = labelled_images(images, [annotations], masks=False)
    assert [len(row.objects) for row in rows] == [1] * len(images)
    assert [row.image.objects for row in rows] == [image.objects for image in images]


def test_the_twin_learns_true_objects_of_the_same_pictures(images: list[TaggedImage], tmp_path: Path) -> None:
    wrong = [replace(image, objects=image.objects[:1]) for image in images[:3]]
    rows = labelled_images(images, [write_pseudo_labels(wrong, tmp_path / "pgt")], masks=False, true_objects=True)
    assert [row.objects for row in rows] == [image.objects for image in images[:3]]


def test_what_cannot_be_learnt_from_is_named(images: list[TaggedImage], tmp_path: Path) -> None:
    annotations = write_pseudo_labels(images[:2], tmp_path / "pgt")
    with pytest.raises(ValueError, match="none of the 2 images has an object"):
        labelled_images(images[4:], [annotations], masks=False)
    with pytest.raises(ValueError, match=r"give a file FOLDER/annotations/instances_SPLIT\.json"):
        labelled_images(images, [tmp_path / "boxes.json"], masks=False)
    bare = [replace(images[0], objects=tuple(replace(thing, mask_rle=None) for thing in images[0].objects))]
    with pytest.raises(ValueError, match="an object of image '00' has no mask"):
        labelled_images(bare, (), masks=True)
