"""CVAT's XML: tags, boxes, polygons, masks, subsets, and what does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.data.conftest import write_image
from training.data.open_dataset import open_dataset
from weaksam.formats.run_lengths import decode_rle

META = "<meta><task><labels><label><name>bolt</name></label><label><name>fuel cap</name></label></labels></task></meta>"
IMAGES = """
<image id="0" name="day1/a.jpg" width="80" height="60"><tag label="bolt" source="manual"/></image>
<image id="1" name="b.jpg" width="80" height="60">
  <box label="bolt" occluded="0" xtl="10.0" ytl="20.0" xbr="30.5" ybr="40.0"/>
  <polygon label="fuel cap" points="1.0,1.0;9.0,1.0;9.0,9.0"/>
  <mask label="bolt" rle="1, 2" left="0" top="0" width="1" height="3"/>
</image>
<image id="2" name="c.jpg" width="80" height="60"></image>
"""


def write(root: Path, images: str = IMAGES, *, below: str = "images", head: str = "") -> Path:
    for name in ("day1/a.jpg", "b.jpg", "c.jpg"):
        write_image(root / below / name)
    document = f"{head}<annotations><version>1.1</version>{META}{images}</annotations>"
    (root / "annotations.xml").write_text(document, encoding="utf-8")
    return root


@pytest.mark.parametrize("below", ["images", ""])
def test_tags_and_shapes(tmp_path: Path, below: str) -> None:
    dataset = open_dataset(write(tmp_path, below=below), "train")
    assert dataset.labels == ("bolt", "fuel cap")
    assert dataset.problems == ()
    assert {Path(image.id).name: image.tags for image in dataset.images} == {
        "a": ("bolt",),
        "b": ("bolt", "fuel cap"),
        "c": (),
    }
    box, polygon, mask = dataset.images[1].objects
    boxes = [thing.box_xyxy for thing in (box, polygon, mask)]
    assert boxes == [(10.0, 20.0, 30.5, 40.0), (1.0, 1.0, 9.0, 9.0), (0.0, 1.0, 1.0, 3.0)]
    assert box.mask_rle is None
    assert polygon.mask_rle is not None
    assert mask.mask_rle is not None
    assert np.argwhere(decode_rle(mask.mask_rle)).tolist() == [[1, 0], [2, 0]]


def test_subsets_are_splits(tmp_path: Path) -> None:
    images = IMAGES.replace('id="0"', 'id="0" subset="Train"').replace('id="1"', 'id="1" subset="Validation"')
    root = write(tmp_path, images)
    assert [image.path.name for image in open_dataset(root, "val").images] == ["b.jpg"]
    assert [image.path.name for image in open_dataset(root, "train").images] == ["a.jpg", "c.jpg"]


@pytest.mark.parametrize(
    ("written", "instead", "file", "field"),
    [
        pytest.param('label="bolt" source', 'label="screw" source', "annotations.xml", "tags", id="unknown tag"),
        pytest.param('name="c.jpg"', 'name="gone.jpg"', "images/c.jpg", "tags", id="image that is not named"),
        pytest.param('name="c.jpg"', 'name="gone.jpg"', "gone.jpg", "image", id="missing image"),
        pytest.param('xbr="30.5"', 'xbr="30,5"', "annotations.xml", "image 'b.jpg': box", id="decimal comma"),
        pytest.param("9.0,1.0;", "9.0;1.0;", "annotations.xml", "image 'b.jpg': polygon", id="half a point"),
        pytest.param('rle="1, 2"', 'rle="1, 3"', "annotations.xml", "image 'b.jpg': mask", id="runs too long"),
        pytest.param('rle="1, 2"', 'rle="1 2"', "annotations.xml", "image 'b.jpg': mask", id="runs no numbers"),
        pytest.param('left="0"', 'left="80"', "annotations.xml", "image 'b.jpg': mask", id="mask outside"),
        pytest.param('left="0" ', "", "annotations.xml", "image 'b.jpg': mask", id="mask without a place"),
        pytest.param('rle="1, 2"', 'rle="3"', "annotations.xml", "image 'b.jpg': mask", id="mask of no pixel"),
        pytest.param('xbr="30.5"', 'xbr="99"', "annotations.xml", "image 'b.jpg': box", id="box sticks out"),
        pytest.param(
            'name="b.jpg" width="80"', 'name="b.jpg" width="90"', "annotations.xml", "image 'b.jpg'", id="size"
        ),
    ],
)
def test_what_does_not_fit_is_reported(tmp_path: Path, written: str, instead: str, file: str, field: str) -> None:
    assert written in IMAGES
    dataset = open_dataset(write(tmp_path, IMAGES.replace(written, instead)), "train")
    assert (file, field) in [(problem.file, problem.field) for problem in dataset.problems]
