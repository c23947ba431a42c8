from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.training.data.conftest import WriteVoc, voc_object, voc_xml, write_image
from training.data.open_dataset import open_dataset
from training.scenes.generate import generate_scenes


def test_scenes_read_alike_as_coco_and_as_voc(tmp_path: Path) -> None:
    list(generate_scenes(tmp_path / "s", 5, seed=3, size_hw=(96, 128)))
    as_coco = open_dataset(tmp_path / "s", "train")
    for path in (tmp_path / "s" / "annotations").iterdir():
        path.unlink()
    as_voc = open_dataset(tmp_path / "s", "train")

    assert as_coco.labels == as_voc.labels
    assert [image.objects for image in as_coco.images] == [image.objects for image in as_voc.images]
    assert [image.tags for image in as_coco.images] == [image.tags for image in as_voc.images]
    assert (as_coco.problems, as_voc.problems) == ((), ())


def test_voc_layout(write_voc: WriteVoc) -> None:
    root = write_voc({"a": voc_xml(voc_object("Bolt", (1, 1, 9, 9)))})

    assert [image.tags for image in open_dataset(root, "train").images] == [("Bolt",)]


def test_a_plain_folder_is_cut_into_fit_and_val(tmp_path: Path) -> None:
    for number in range(10):
        write_image(tmp_path / "bolt" / f"{number}.jpg")

    ids = {split: [image.id for image in open_dataset(tmp_path, split).images] for split in ("fit", "val")}

    assert len(ids["fit"]) == 9
    assert ids["val"] == ["bolt/9"]


@pytest.mark.parametrize(
    ("folder", "split", "message"),
    [
        pytest.param("missing", "train", "is not a folder", id="no-folder"),
        pytest.param(".", "test", "is a plain folder, which has train, val and fit, not 'test'", id="no-test-split"),
        pytest.param(".", "train", "holds no image", id="empty-folder"),
    ],
)
def test_what_cannot_be_opened(tmp_path: Path, folder: str, split: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_dataset(tmp_path / folder, split)
