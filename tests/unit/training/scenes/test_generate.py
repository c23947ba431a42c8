from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from training.data.open_dataset import open_dataset
from training.scenes.generate import generate_scenes
from training.scenes.sample_images import write_sample_images
from training.scenes.scene import draw_scene


def test_scenes_hold_several_and_repeated_instances() -> None:
    images = [draw_scene(np.random.default_rng([0, index]), (120, 160)) for index in range(60)]

    counts = Counter(len(image.labels) for image in images)
    assert set(counts) <= set(range(1, 7))
    assert sum(count > 1 for image in images for count in [len(image.labels)]) > 30
    assert sum(len(set(image.labels)) < len(image.labels) for image in images) > 12
    assert len({label for image in images for label in image.labels}) > 20
    assert all(image.masks.sum(axis=0).max() == 1 for image in images)


def test_the_written_set_is_one_in_both_layouts(tmp_path: Path) -> None:
    ids = list(generate_scenes(tmp_path, 5, seed=1, size_hw=(96, 128)))

    assert ids == [f"{index:06d}" for index in range(5)]
    assert (tmp_path / "ImageSets/Main/train.txt").read_text().split() == ids[:4]
    assert (tmp_path / "ImageSets/Main/test.txt").read_text().split() == ids[4:]
    coco = COCO(str(tmp_path / "annotations/instances_train.json"))
    for row in coco.loadAnns(coco.getAnnIds()):
        mask = coco.annToMask(row).astype(bool)
        image_id = f"{row['image_id']:06d}"
        numbers = np.asarray(Image.open(tmp_path / "SegmentationObject" / f"{image_id}.png"))
        classes = np.asarray(Image.open(tmp_path / "SegmentationClass" / f"{image_id}.png"))
        assert (row["area"], row["iscrowd"]) == (mask.sum(), 0)
        assert len(set(numbers[mask])) == 1
        assert set(classes[mask]) == {row["category_id"]}
        rows, columns = np.nonzero(mask)
        expected = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert row["bbox"] == expected


def test_an_image_depends_on_its_seed_and_index_alone(tmp_path: Path) -> None:
    for name, count, seed in (("few", 2, 3), ("many", 4, 3), ("other", 2, 4)):
        list(generate_scenes(tmp_path / name, count, seed, (96, 128)))
    first, again, other = (
        (tmp_path / name / "JPEGImages/000001.jpg").read_bytes() for name in ("few", "many", "other")
    )

    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("count", "splits", "message"),
    [
        pytest.param(0, {"train": 1.0}, "count must be at least 1", id="count"),
        pytest.param(3, {"train": 0.5}, "splits must add up to 1", id="shares"),
    ],
)
def test_what_cannot_be_generated(tmp_path: Path, count: int, splits: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(generate_scenes(tmp_path, count, 0, (96, 128), splits))


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")

    with pytest.raises(ValueError, match="is not empty"):
        list(generate_scenes(tmp_path, 1, 0, (96, 128)))


def test_sample_images_are_what_the_command_draws(tmp_path: Path, repository_dir: Path) -> None:
    """Tags exactly; pixels nearly, since another build of OpenCV or Pillow may round otherwise."""
    write_sample_images(tmp_path)

    assert (tmp_path / "tags.csv").read_text() == (repository_dir / "samples/tags.csv").read_text()
    for path in sorted(tmp_path.glob("*.jpg")):
        drawn, kept = (np.asarray(Image.open(p)).astype(int) for p in (path, repository_dir / "samples" / path.name))
        assert np.abs(drawn - kept).mean() < 1.0
        assert path.stat().st_size <= 120_000
    names = {image.id for image in open_dataset(tmp_path, "train").images}
    assert names == {"apron", "bay", "hangar", "runway", "taxiway"}


def test_json_has_no_numpy_leftovers(tmp_path: Path) -> None:
    list(generate_scenes(tmp_path, 1, 0, (96, 128), {"train": 1.0}))

    document = json.loads((tmp_path / "annotations/instances_train.json").read_text())
    assert all(isinstance(value, float) for row in document["annotations"] for value in row["bbox"])
