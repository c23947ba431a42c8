"""CVAT's XML: tags, boxes, polygons, ellipses, masks, subsets, and what does not fit."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.data.conftest import write_image
from training.data.open_dataset import open_dataset
from weaksam.errors import UserError
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


TURNED = """
<image id="1" name="b.jpg" width="80" height="60">
  <box label="bolt" occluded="0" xtl="20.00" ytl="20.00" xbr="60.00" ybr="40.00" rotation="30.00"/>
  <ellipse label="bolt" occluded="0" cx="40.00" cy="30.00" rx="20.00" ry="8.00" rotation="30.00"/>
  <ellipse label="bolt" occluded="0" cx="10.00" cy="12.00" rx="10.00" ry="5.00"/>
  <box label="bolt" occluded="0" xtl="20.00" ytl="20.00" xbr="60.00" ybr="40.00" rotation="360.00"/>
</image>
"""


def test_turned_boxes_and_ellipses_are_objects(tmp_path: Path) -> None:
    dataset = open_dataset(write(tmp_path, TURNED), "train")
    (image,) = dataset.images
    turned, ellipse, upright, whole_turn = image.objects
    root_3 = math.sqrt(3)
    half_wide, half_high = 10 * root_3 + 5, 10 + 5 * root_3  # of 40x20, turned around its centre
    assert turned.box_xyxy == pytest.approx((40 - half_wide, 30 - half_high, 40 + half_wide, 30 + half_high))
    half_wide, half_high = math.hypot(10 * root_3, 4), math.hypot(10, 4 * root_3)
    expected = (40 - half_wide, 30 - half_high, 40 + half_wide, 30 + half_high)
    assert ellipse.box_xyxy == pytest.approx(expected, abs=0.001)
    assert upright.box_xyxy == pytest.approx((0, 7, 20, 17))
    masks = [decode_rle(thing.mask_rle) for thing in (turned, ellipse, upright) if thing.mask_rle is not None]
    assert [mask_hw.sum() for mask_hw in masks] == pytest.approx([800, 160 * math.pi, 50 * math.pi], rel=0.02)
    assert [mask_hw[38, 54] for mask_hw in masks] == [True, True, False]  # clockwise: the right end is below
    assert [mask_hw[22, 54] for mask_hw in masks] == [False, False, False]
    assert (whole_turn.box_xyxy, whole_turn.mask_rle) == ((20, 20, 60, 40), None)


@pytest.mark.parametrize(
    ("written", "instead", "words"),
    [
        pytest.param('ybr="40.00" rotation="30', 'ybr="40.00" rotation="x', "box: rotation is 'x.00': ", id="no angle"),
        pytest.param(
            'xbr="60.00" ybr="40.00" rotation="30',
            'xbr="9" ybr="40" rotation="30',
            "box: xbr - xtl is -11.0: ",
            id="box inside out",
        ),
        pytest.param('rx="20.00"', 'rx="-20.00"', "ellipse: rx is '-20.00': write a number above 0", id="below zero"),
        pytest.param('ry="8.00"', 'ry="0"', "ellipse: ry is '0': write a number above 0", id="flat"),
        pytest.param('cx="40.00"', 'cx="inf"', "ellipse: cx is 'inf': write a number from -1e9 to 1e9", id="nowhere"),
        pytest.param('cx="40.00" ', "", "ellipse: cx is None: ", id="without a centre"),
        pytest.param(
            'cx="10.00"', 'cx="200"', "ellipse: box [190, 7, 210, 17] has no area in a 80x60 image", id="outside"
        ),
    ],
)
def test_impossible_turned_shapes_are_reported(tmp_path: Path, written: str, instead: str, words: str) -> None:
    assert written in TURNED
    dataset = open_dataset(write(tmp_path, TURNED.replace(written, instead)), "train")
    (image,) = dataset.images
    assert len(image.objects) == 3
    (problem,) = (problem for problem in dataset.problems if problem.field.startswith("image 'b.jpg'"))
    assert problem.file == "annotations.xml"
    assert f"image 'b.jpg': {words}" in f"{problem.field}: {problem.message}"


def test_shapes_without_an_extent_are_tags_alone(tmp_path: Path) -> None:
    points = '<points label="bolt" points="1,1"/><polyline label="bolt" points="1,1;9,9"/>'
    shapes = f'{points}<skeleton label="fuel cap" rotation="x"/>'
    root = write(tmp_path, f'<image id="1" name="b.jpg" width="80" height="60">{shapes}</image>')
    (image,) = open_dataset(root, "train").images
    assert (image.tags, image.objects) == (("bolt", "fuel cap"), ())


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


def test_a_video_is_refused_by_its_name(tmp_path: Path) -> None:
    write_image(tmp_path / "frame_000000.png")
    box = '<box frame="0" xtl="1" ytl="1" xbr="9" ybr="9" outside="0" keyframe="1"/>'
    track = f'<annotations><version>1.1</version><track id="0" label="nut">{box}</track></annotations>'
    (tmp_path / "annotations.xml").write_text(track)
    with pytest.raises(UserError, match="is CVAT's XML of a video. That is not read: export it as COCO"):
        open_dataset(tmp_path, "train")
