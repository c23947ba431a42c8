"""Small data sets in the very layout that VOC and COCO are published in: folders, names, fields, numbering."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.unit.training.data.conftest import write_image
from training.data.open_dataset import open_dataset
from weaksam.formats.run_lengths import decode_rle

# As in VOC 2007: a person with parts, whose boxes are no objects; a chair marked difficult; whole numbers from 1.
VOC_XML = """<annotation>
 <folder>{year}</folder><filename>{id}.jpg</filename>
 <source><database>The {year} Database</database><annotation>PASCAL {year}</annotation><image>flickr</image></source>
 <owner><flickrid>x</flickrid><name>?</name></owner>
 <size><width>80</width><height>60</height><depth>3</depth></size>
 <segmented>1</segmented>
 <object><name>person</name><pose>Left</pose><truncated>1</truncated><difficult>0</difficult>
  <bndbox><xmin>1</xmin><ymin>11</ymin><xmax>40</xmax><ymax>60</ymax></bndbox>
  <part><name>head</name><bndbox><xmin>10</xmin><ymin>11</ymin><xmax>20</xmax><ymax>20</ymax></bndbox></part>
  <part><name>hand</name><bndbox><xmin>30</xmin><ymin>31</ymin><xmax>40</xmax><ymax>40</ymax></bndbox></part>
 </object>
 <object><name>chair</name><pose>Unspecified</pose><truncated>0</truncated><difficult>1</difficult>
  <bndbox><xmin>51</xmin><ymin>21</ymin><xmax>80</xmax><ymax>50</ymax></bndbox></object>
</annotation>"""


def write_voc(root: Path, year: str, lists: dict[str, list[str]]) -> Path:
    """VOCdevkit/VOCyyyy with the lists of ImageSets by name, per-class lists beside them."""
    for name, ids in lists.items():
        path = root / "ImageSets" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{image_id}\n" for image_id in ids))
        if name.startswith("Main/"):
            per_class = path.with_name(f"chair_{path.name}")
            per_class.write_text("".join(f"{image_id}  0\n" for image_id in ids))
    (root / "Annotations").mkdir()
    for image_id in {image_id for ids in lists.values() for image_id in ids}:
        write_image(root / "JPEGImages" / f"{image_id}.jpg")
        (root / "Annotations" / f"{image_id}.xml").write_text(VOC_XML.format(year=year, id=image_id))
    return root


def test_voc_2007(tmp_path: Path) -> None:
    lists = {"Main/train": ["000005"], "Main/val": ["000007"], "Main/trainval": ["000005", "000007"]}
    root = write_voc(tmp_path / "VOCdevkit" / "VOC2007", "VOC2007", lists | {"Main/test": ["000001"]})

    dataset = open_dataset(root, "trainval")

    assert (dataset.labels, dataset.problems) == (("chair", "person"), ())
    assert [image.id for image in dataset.images] == ["000005", "000007"]
    image = dataset.images[0]
    assert image.tags == ("chair", "person")
    assert [(thing.label, thing.box_xyxy, thing.difficult) for thing in image.objects] == [
        ("person", (0.0, 10.0, 40.0, 60.0), False),
        ("chair", (50.0, 20.0, 80.0, 50.0), True),
    ]
    assert [image.id for image in open_dataset(root, "test").images] == ["000001"]
    assert [image.id for image in open_dataset(root, "fit").images] == ["000005"]  # it has a `val` of its own


def test_a_split_that_voc_lacks_is_met_with_those_it_has(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "VOC2007", "VOC2007", {"Main/train": ["000005"], "Main/trainval": ["000005"]})
    with pytest.raises(ValueError, match=r"has no 'test'; it has train, trainval$"):
        open_dataset(root, "test")


def test_voc_2012_instance_masks(tmp_path: Path) -> None:
    lists = {"Main/val": ["2007_000033", "2008_000002"], "Segmentation/val": ["2007_000033"]}
    root = write_voc(tmp_path / "VOC2012", "VOC2012", lists)
    numbers = np.zeros((60, 80), np.uint8)
    numbers[10:60, 0:40], numbers[20:50, 50:80], numbers[19, 50:80] = 1, 2, 255
    (root / "SegmentationObject").mkdir()
    palette_image = Image.fromarray(numbers, mode="P")
    palette_image.putpalette(bytes(range(256)) * 3)
    palette_image.save(root / "SegmentationObject" / "2007_000033.png")

    [image] = open_dataset(root, "Segmentation/val").images

    masks = [thing.mask_rle for thing in image.objects]
    assert masks[0] is not None
    assert masks[1] is not None
    np.testing.assert_array_equal(decode_rle(masks[0]), numbers == 1)
    np.testing.assert_array_equal(decode_rle(masks[1]), numbers == 2)  # 255, the void line, is nobody's
    assert len(open_dataset(root, "val").images) == 2


def coco_document(year: str, split: str) -> dict[str, Any]:
    """Ids of categories with gaps, one of them without an object; a crowd; an image without annotations."""
    file_name = f"COCO_{split}{year}_%012d.jpg" if year == "2014" else "%012d.jpg"
    images = [
        {"license": 3, "file_name": file_name % n, "coco_url": "", "height": 60, "width": 80, "id": n, "flickr_url": ""}
        for n in (139, 285, 632)
    ]
    polygon = [[10.0, 10.0, 30.0, 10.0, 30.0, 20.0, 10.0, 20.0]]
    crowd = {"counts": [0, 600, 4200], "size": [60, 80]}
    rows = [
        {"id": 1768, "image_id": 139, "category_id": 90, "bbox": [10, 10, 20, 10], "iscrowd": 0, "area": 200.0}
        | {"segmentation": polygon},
        {"id": 900100, "image_id": 139, "category_id": 1, "bbox": [0, 0, 10, 60], "iscrowd": 1, "area": 600}
        | {"segmentation": crowd},
        {"id": 22, "image_id": 285, "category_id": 13, "bbox": [0.5, 0.25, 20.25, 10.5], "iscrowd": 0, "area": 100.0}
        | {"segmentation": polygon},
    ]
    names = {1: "person", 11: "fire hydrant", 13: "stop sign", 90: "toothbrush"}
    categories = [{"supercategory": "x", "id": number, "name": name} for number, name in names.items()]
    document = {"info": {"year": int(year)}, "licenses": [{"id": 3}], "images": images}
    return document | {"annotations": rows, "categories": categories}


@pytest.mark.parametrize("year", ["2014", "2017"])
def test_coco(year: str, tmp_path: Path) -> None:
    for split in ("train", "val"):
        document = coco_document(year, split)
        (tmp_path / "annotations").mkdir(exist_ok=True)
        (tmp_path / "annotations" / f"instances_{split}{year}.json").write_text(json.dumps(document))
        (tmp_path / "annotations" / f"person_keypoints_{split}{year}.json").write_text("{}")
        for row in document["images"]:
            write_image(tmp_path / f"{split}{year}" / row["file_name"])

    dataset = open_dataset(tmp_path, f"train{year}")

    assert (dataset.labels, dataset.problems) == (("person", "fire hydrant", "stop sign", "toothbrush"), ())
    assert [image.tags for image in dataset.images] == [("person", "toothbrush"), ("stop sign",), ()]
    brush, crowd = dataset.images[0].objects
    assert (brush.label, brush.box_xyxy, brush.difficult) == ("toothbrush", (10.0, 10.0, 30.0, 20.0), False)
    assert (crowd.label, crowd.difficult) == ("person", True)
    assert crowd.mask_rle is not None
    assert decode_rle(crowd.mask_rle)[:, :10].all()
    assert dataset.images[1].objects[0].box_xyxy == (0.5, 0.25, 20.75, 10.75)
    assert len(open_dataset(tmp_path, f"val{year}").images) == 3
