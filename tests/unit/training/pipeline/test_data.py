from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.unit.training.data.conftest import voc_object, voc_xml, write_coco, write_image
from training.pipeline.config import DataConfig, MosaicsConfig, ScenesConfig
from training.pipeline.data import RunData, open_data
from training.runs.image_digests import ImageDigests

KINDS = ("Bolt", "Nut", "Pin", "Wire")


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Two of each kind in each split."""
    root = tmp_path / "photographs"
    (root / "Annotations").mkdir(parents=True)
    (root / "ImageSets" / "Main").mkdir(parents=True)
    for split in ("fit", "val", "test"):
        names = [f"{split}{kind}{number}" for kind in KINDS for number in range(2)]
        for name in names:
            write_image(root / "JPEGImages" / f"{name}.jpg")
            kind = name.removeprefix(split)[:-1]
            (root / "Annotations" / f"{name}.xml").write_text(voc_xml(voc_object(kind, (11, 21, 30, 40))))
        (root / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(names))
    return root


def opened(config: DataConfig, run_dir: Path) -> RunData:
    run_dir.mkdir(exist_ok=True)
    return open_data(config, 3, run_dir, ImageDigests(run_dir / "pictures.json"))


def test_mosaics_take_the_place_of_their_photographs_and_keep_splits_apart(photographs: Path, tmp_path: Path) -> None:
    config = DataConfig((photographs,), mosaics=MosaicsConfig(fit=4, val=2, test=3))
    data = opened(config, tmp_path / "run")
    assert data.labels.names == KINDS
    assert ([len(data.fit), len(data.val)], len(data.tests)) == ([4, 2], 1)
    assert all(image.size_hw == (120, 160) and len(image.objects) == 4 for image in data.fit + data.val)
    written = {path.parent.name: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("*/done.json")}
    assert {name.rpartition("-")[0] for name in written} == {"images", "mosaics-fit", "mosaics-val", "mosaics-test"}

    opened(config, tmp_path / "run")
    assert {path.parent.name: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("*/done.json")} == written


def test_generated_scenes_are_one_more_data_set(photographs: Path, tmp_path: Path) -> None:
    config = DataConfig((photographs,), val_limit=3, scenes=ScenesConfig(count=5, height_px=96, width_px=128))
    data = opened(config, tmp_path / "run")
    assert [test.split for test in data.tests] == ["test", "test"]
    assert {image.size_hw for image in data.fit} == {(60, 80), (96, 128)}
    assert set(KINDS) < set(data.labels.names)
    assert 1 <= len(data.val) <= 3


def test_two_data_sets_of_one_name_are_told_apart(photographs: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / photographs.name
    shutil.copytree(photographs, other)
    data = opened(DataConfig((photographs, other)), tmp_path / "run")
    assert [test.name for test in data.tests] == [photographs.name, f"{photographs.name}-2"]
    assert [test.folder for test in data.tests] == [photographs, other]


def test_without_boxes_nothing_is_measured_and_that_is_said_before_training(photographs: Path, tmp_path: Path) -> None:
    for path in (photographs / "Annotations").glob("test*.xml"):
        path.write_text(voc_xml("<object><name>Bolt</name></object>"))
    with pytest.raises(ValueError, match=r"data\.test: .* has no boxes in split 'test' to measure on"):
        opened(DataConfig((photographs,)), tmp_path / "run")
    data = opened(DataConfig((photographs,), test="none"), tmp_path / "run")
    assert data.tests == []
    assert len(data.fit) == 8


def test_what_a_killed_generation_left_is_drawn_anew(tmp_path: Path) -> None:
    config = DataConfig(scenes=ScenesConfig(count=5, height_px=96, width_px=128))
    first = opened(config, tmp_path / "first")
    folder = next((tmp_path / "first").glob("scenes-*")).name
    left = tmp_path / "second" / folder / "scenes.part"
    left.mkdir(parents=True)
    (left / "half.jpg").write_text("half")
    second = opened(config, tmp_path / "second")
    assert [image.path.read_bytes() for image in second.fit] == [image.path.read_bytes() for image in first.fit]
    assert not left.exists()


def test_a_class_of_the_validation_images_alone_is_left_out_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "parts"
    write_coco(root, "train", {"a": "Bolt", "b": "Nut"})
    write_coco(root, "val", {"c": "Bolt", "d": "Pin"})
    data = opened(DataConfig((root,), fit="train", test="none"), tmp_path / "run")
    assert data.labels.names == ("Bolt", "Nut")
    assert {image.id: image.tags for image in data.val} == {"c": ("Bolt",), "d": ()}
    assert "d.jpg: tags: class 'Pin' is not learnt" in capsys.readouterr().err.replace("\n", "")
