"""The COCO writer: rows of any source, read back by pycocotools."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from weaksam.formats.coco import annotation_row, category_rows, image_row, write_dataset
from weaksam.formats.run_lengths import encode_rle


def test_areas_are_those_of_masks_or_else_of_boxes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask = np.zeros((20, 30), np.bool_)
    mask[5:8, 10:14] = True
    annotations = [
        annotation_row(4, 7, (10.0, 5.0, 16.0, 9.0), encode_rle(mask), score=0.5),
        annotation_row(4, 9, (1.0, 2.0, 4.0, 8.5)),
    ]
    images = [image_row(4, "a.jpg", (20, 30), tags=["bolt"])]
    write_dataset(tmp_path / "d.json", {"x": 1}, category_rows(["bolt", "nut"], [7, 9]), images, iter(annotations))

    dataset = COCO(str(tmp_path / "d.json"))
    capsys.readouterr()
    first, second = dataset.anns[1], dataset.anns[2]
    assert (first["area"], first["bbox"], first["score"]) == (12, [10.0, 5.0, 6.0, 4.0], 0.5)
    assert (second["area"], "segmentation" in second) == (19.5, False)
    assert np.array_equal(dataset.annToMask(first), mask)
    assert dataset.imgs[4] == {"id": 4, "width": 30, "height": 20, "file_name": "a.jpg", "tags": ["bolt"]}
    assert [row["name"] for row in dataset.loadCats([7, 9])] == ["bolt", "nut"]


def test_a_data_set_may_be_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_dataset(tmp_path / "d.json", {}, category_rows([]), [], [])
    assert COCO(str(tmp_path / "d.json")).anns == {}
    capsys.readouterr()
