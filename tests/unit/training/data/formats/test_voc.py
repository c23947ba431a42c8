from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.unit.training.data.conftest import WriteVoc, voc_object, voc_xml, write_image
from training.data.formats.voc import read_voc
from training.data.open_dataset import open_dataset
from weaksam.files.opened_image import EXIF_ORIENTATION
from weaksam.formats.run_lengths import decode_rle
from weaksam.formats.voc import VocObject, write_voc_annotation
from weaksam.schemas import Box

GOOD = voc_xml(voc_object("Bolt", (11, 21, 30, 40)))
NAMELESS = "<object><bndbox><xmin>3</xmin><ymin>5</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>"


@pytest.mark.parametrize(
    ("corners", "expected"),
    [
        pytest.param((11, 21, 30, 40), (10.0, 20.0, 30.0, 40.0), id="whole-numbers-are-1-based-inclusive"),
        pytest.param(("10.5", "0.0", "30.25", "60.0"), (10.5, 0.0, 30.25, 60.0), id="decimals-are-0-based-half-open"),
        pytest.param((1, 1, 80, 60), (0.0, 0.0, 80.0, 60.0), id="the-whole-image"),
    ],
)
def test_box_conventions(write_voc: WriteVoc, corners: tuple[object, ...], expected: tuple[float, ...]) -> None:
    image = read_voc(write_voc({"a": voc_xml(voc_object("Bolt", corners))}), "train").images[0]

    assert image.objects[0].box_xyxy == expected
    assert (image.id, image.size_hw, image.tags) == ("a", (60, 80), ("Bolt",))


def test_a_few_boxes_with_decimals_do_not_turn_a_voc_set(write_voc: WriteVoc) -> None:
    rows = {"a": GOOD, "b": GOOD, "c": voc_xml(voc_object("Nut", ("11.5", "21", "30", "40")))}

    boxes = [image.objects[0].box_xyxy for image in read_voc(write_voc(rows), "train").images]

    assert boxes == [(10.0, 20.0, 30.0, 40.0), (10.0, 20.0, 30.0, 40.0), (10.5, 20.0, 30.0, 40.0)]


def _delete(relative: str) -> Callable[[Path], object]:
    return lambda root: (root / relative).unlink()


def _write(relative: str, text: str) -> Callable[[Path], object]:
    return lambda root: (root / relative).write_text(text)


XML, JPG = "Annotations/bad.xml", "JPEGImages/bad.jpg"


@pytest.mark.parametrize(
    ("spoil", "file", "field", "kept_objects"),
    [
        pytest.param(_delete(JPG), JPG, "image", None, id="missing-image"),
        pytest.param(_delete(XML), XML, "file", None, id="missing-annotation"),
        pytest.param(_write(JPG, ""), JPG, "image", None, id="empty-image"),
        pytest.param(_write(JPG, "no image"), JPG, "image", None, id="not-an-image"),
        pytest.param(_write(XML, ""), XML, "xml", None, id="empty-annotation"),
        pytest.param(_write(XML, "<annotation><object>"), XML, "xml", None, id="broken-xml"),
        pytest.param(
            _write(XML, '<!DOCTYPE a [<!ENTITY e "x">]><annotation/>'), XML, "xml", None, id="declares-entities"
        ),
        pytest.param(
            _write(XML, GOOD.replace("80</width>", "90</width>")), XML, "size", 0, id="other-size-than-the-image"
        ),
        pytest.param(
            _write(XML, voc_xml(voc_object("Bolt", (71, 51, 95, 58)))), XML, "object 1/bndbox", 1, id="box-sticks-out"
        ),
        pytest.param(
            _write(XML, voc_xml(voc_object("Bolt", (90, 5, 99, 9)))), XML, "object 1/bndbox", 0, id="box-outside"
        ),
        pytest.param(
            _write(XML, voc_xml(voc_object("Bolt", (30, 5, 20, 9)))), XML, "object 1/bndbox", 0, id="box-inverted"
        ),
        pytest.param(
            _write(XML, voc_xml(voc_object("Bolt", ("x", 5, 9, 9)))), XML, "object 1/bndbox", 0, id="box-no-number"
        ),
        pytest.param(
            _write(XML, voc_xml(voc_object("Bolt", ("nan", 5, 9, 9)))), XML, "object 1/bndbox", 0, id="box-nan"
        ),
        pytest.param(
            _write(XML, voc_xml(voc_object("Nut", (1, 1, 9, 9)) + voc_object("Bold", (3, 5, 9, 9)))),
            XML,
            "object 2/name",
            1,
            id="unknown-class",
        ),
        pytest.param(
            _write(XML, voc_xml(voc_object("Bolt", (3, 5, 9, 9)) + NAMELESS)), XML, "object 2/name", 1, id="no-class"
        ),
        pytest.param(
            _write("ImageSets/Main/train.txt", "good\nbad\ngood\n"),
            "ImageSets/Main/train.txt",
            "line 3",
            1,
            id="duplicate-id",
        ),
    ],
)
def test_bad_data_is_reported_and_left_out(
    write_voc: WriteVoc, spoil: Callable[[Path], object], file: str, field: str, kept_objects: int | None
) -> None:
    root = write_voc({"good": GOOD, "bad": GOOD})
    spoil(root)

    dataset = read_voc(root, "train")

    assert [(problem.file, problem.field) for problem in dataset.problems] == [(file, field)]
    objects = {image.id: len(image.objects) for image in dataset.images}
    assert objects == {"good": 1} | ({} if kept_objects is None else {"bad": kept_objects})


def test_a_box_that_sticks_out_is_clipped(write_voc: WriteVoc) -> None:
    dataset = read_voc(write_voc({"a": voc_xml(voc_object("Bolt", (71, 51, 95, 70)))}), "train")

    assert dataset.images[0].objects[0].box_xyxy == (70.0, 50.0, 80.0, 60.0)
    assert "clipped" in dataset.problems[0].message


def test_names_match_without_regard_to_case_and_spaces(write_voc: WriteVoc) -> None:
    text = voc_xml(voc_object("fuel cap", (3, 5, 9, 9)) + voc_object("FUEL_CAP", (13, 5, 19, 9)))

    dataset = read_voc(write_voc({"a": text}, labels=["FuelCap"]), "train")

    assert dataset.images[0].tags == ("FuelCap",)
    assert [thing.label for thing in dataset.images[0].objects] == ["FuelCap", "FuelCap"]


def test_all_splits_have_the_classes_of_all_annotations(write_voc: WriteVoc) -> None:
    texts = {"a": voc_xml(voc_object("Bolt", (3, 5, 9, 9))), "b": voc_xml(voc_object("Nut", (3, 5, 9, 9)))}
    root = write_voc(texts, labels=[], train=["a"], val=["b"])
    assert read_voc(root, "train").labels == read_voc(root, "val").labels == ("Bolt", "Nut")


def test_an_object_without_a_name_makes_no_class(write_voc: WriteVoc) -> None:
    root = write_voc({"a": voc_xml(voc_object("Bolt", (3, 5, 9, 9)) + NAMELESS)}, labels=[])
    assert read_voc(root, "train").labels == ("Bolt",)


def test_suffixes_in_capitals_are_found(write_voc: WriteVoc) -> None:
    root = write_voc({"a": voc_xml(voc_object("Bolt", (3, 5, 9, 9)))})
    (root / "JPEGImages" / "a.jpg").rename(root / "JPEGImages" / "a.JPG")
    assert [image.path.name for image in read_voc(root, "train").images] == ["a.JPG"]


def test_difficult_objects_and_objects_without_box(write_voc: WriteVoc) -> None:
    text = voc_xml(voc_object("Bolt", (3, 5, 9, 9), "<difficult>1</difficult>") + "<object><name>Nut</name></object>")

    dataset = read_voc(write_voc({"a": text}), "train")

    assert dataset.images[0].tags == ("Bolt", "Nut")
    assert [thing.difficult for thing in dataset.images[0].objects] == [True]
    assert dataset.problems == ()


def test_masks_come_from_the_instance_palette_by_number(write_voc: WriteVoc) -> None:
    root = write_voc({"a": voc_xml(voc_object("Bolt", (1, 1, 4, 4)) + voc_object("Nut", (11, 11, 14, 14)))})
    numbers = np.zeros((60, 80), np.uint8)
    numbers[0:4, 0:4], numbers[10:14, 10:14], numbers[4, 4] = 1, 2, 255
    (root / "SegmentationObject").mkdir()
    Image.fromarray(numbers, mode="L").save(root / "SegmentationObject" / "a.png")

    bolt, nut = read_voc(root, "train").images[0].objects

    assert bolt.mask_rle is not None
    assert nut.mask_rle is not None
    np.testing.assert_array_equal(decode_rle(bolt.mask_rle), numbers == 1)
    np.testing.assert_array_equal(decode_rle(nut.mask_rle), numbers == 2)


def test_an_object_without_a_name_leaves_the_others_their_masks(write_voc: WriteVoc) -> None:
    root = write_voc({"a": voc_xml(NAMELESS + voc_object("Nut", (11, 11, 14, 14)))})
    numbers = np.zeros((60, 80), np.uint8)
    numbers[4:9, 2:9], numbers[10:14, 10:14] = 1, 2
    (root / "SegmentationObject").mkdir()
    Image.fromarray(numbers, mode="L").save(root / "SegmentationObject" / "a.png")

    (nut,) = read_voc(root, "train").images[0].objects

    assert nut.mask_rle is not None
    np.testing.assert_array_equal(decode_rle(nut.mask_rle), numbers == 2)


@pytest.mark.parametrize(
    ("box", "written"),
    {
        "inside a pixel": ((10.6, 20.7, 11.4, 21.3), (11.0, 21.0, 12.0, 22.0)),
        "in the last pixel": ((79.6, 59.7, 80.0, 60.0), (79.0, 59.0, 80.0, 60.0)),
        "a hair beyond the image": ((-0.6, 10.0, 80.6, 30.0), (0.0, 10.0, 80.0, 30.0)),
    }.values(),
)
def test_a_box_takes_whole_pixels_of_the_image(write_voc: WriteVoc, box: Box, written: Box) -> None:
    root = write_voc({"a": GOOD})
    write_voc_annotation(root / "Annotations" / "a.xml", "a.jpg", (60, 80), [VocObject("Nut", box)])

    assert read_voc(root, "train").images[0].objects[0].box_xyxy == written


@pytest.mark.parametrize("zero_based", [False, True], ids=["voc-pixels", "zero-based-decimals"])
def test_what_is_written_is_read_back(write_voc: WriteVoc, zero_based: bool) -> None:
    box = (10.25, 20.5, 30.0, 40.75) if zero_based else (10.0, 20.0, 30.0, 40.0)
    root = write_voc({"a": GOOD})
    things = [VocObject("Nut", box, difficult=True)]
    write_voc_annotation(root / "Annotations" / "a.xml", "a.jpg", (60, 80), things, zero_based=zero_based)

    thing = read_voc(root, "train").images[0].objects[0]

    assert (thing.label, thing.box_xyxy, thing.difficult) == ("Nut", box, True)


def test_an_unknown_split_names_those_there_are(write_voc: WriteVoc) -> None:
    root = write_voc({"a": GOOD}, train=["a"], test=["a"])

    with pytest.raises(ValueError, match="no 'dev'; it has test, train"):
        read_voc(root, "dev")


def test_fit_and_val_part_the_training_list(write_voc: WriteVoc) -> None:
    rows = {f"{number:02d}": GOOD for number in range(10)}
    root = write_voc(rows, train=list(rows))

    ids = {split: [image.id for image in read_voc(root, split).images] for split in ("fit", "val")}

    assert ids == {"fit": [f"{number:02d}" for number in range(9)], "val": ["09"]}


def test_a_validation_list_of_its_own_is_used(write_voc: WriteVoc) -> None:
    root = write_voc({"a": GOOD, "b": GOOD}, train=["a"], val=["b"])

    ids = {split: [image.id for image in read_voc(root, split).images] for split in ("fit", "val")}

    assert ids == {"fit": ["a"], "val": ["b"]}


def test_lists_may_lie_in_image_sets_itself(write_voc: WriteVoc) -> None:
    root = write_voc({"a": GOOD, "b": GOOD}, train=["a"], test=["b"])
    for name in ("train.txt", "test.txt"):
        (root / "ImageSets" / "Main" / name).rename(root / "ImageSets" / name)

    ids = {split: [image.id for image in read_voc(root, split).images] for split in ("train", "test")}

    assert ids == {"train": ["a"], "test": ["b"]}


def test_a_single_list_of_another_name_is_for_training(write_voc: WriteVoc) -> None:
    root = write_voc({"a": GOOD, "b": GOOD}, train=["a"])
    (root / "ImageSets" / "Main" / "train.txt").rename(root / "ImageSets" / "Main" / "default.txt")
    for split in ("train", "default"):
        assert [image.id for image in read_voc(root, split).images] == ["a"]


def test_fod_a_reads_without_problems(fod_a_dir: Path) -> None:
    sets = {split: read_voc(fod_a_dir, split) for split in ("train", "test", "fit", "val")}

    assert {split: len(dataset.images) for split, dataset in sets.items()} == {
        "train": 1980,
        "test": 358,
        "fit": 1786,
        "val": 194,
    }
    assert all(dataset.problems == () and len(dataset.labels) == 31 for dataset in sets.values())
    edges = [thing.box_xyxy for image in sets["train"].images for thing in image.objects]
    assert (min(box[0] for box in edges), max(box[2] for box in edges)) == (0.0, 300.0)


def test_ids_may_hold_spaces_suffixes_and_a_class_s_column(write_voc: WriteVoc) -> None:
    root = write_voc({"my photo (1)": GOOD, "my photo 1": GOOD, "b": GOOD, "c": GOOD, "d": GOOD})
    lines = ["my photo (1)", "my photo 1", "b.jpg", "c  1", "d -1"]
    (root / "ImageSets" / "Main" / "train.txt").write_text("\n".join(lines))
    dataset = read_voc(root, "train")
    assert [image.id for image in dataset.images] == ["my photo (1)", "my photo 1", "b", "c", "d"]
    assert dataset.problems == ()


@pytest.mark.parametrize("encoding", ["gbk", "shift_jis", "utf-16", "latin-1"])
def test_any_encoding_that_the_file_names_is_read(write_voc: WriteVoc, encoding: str) -> None:
    name = "Müller" if encoding == "latin-1" else "螺丝"
    root = write_voc({"good": GOOD, "a": GOOD}, labels=())
    text = voc_xml(voc_object(name if encoding != "shift_jis" else "ネジ", (11, 21, 30, 40)))
    head = f'<?xml version="1.0" encoding="{encoding}"?>'
    (root / XML.replace("bad", "a")).write_bytes((head + text).encode(encoding))
    assert [image.id for image in read_voc(root, "train").images] == ["good", "a"]


def test_an_encoding_that_nobody_knows_is_one_row(write_voc: WriteVoc) -> None:
    root = write_voc({"good": GOOD, "bad": GOOD})
    (root / XML).write_bytes(b'<?xml version="1.0" encoding="x-none"?>' + GOOD.encode())
    dataset = read_voc(root, "train")
    assert [image.id for image in dataset.images] == ["good"]
    assert [(problem.file, problem.field) for problem in dataset.problems] == [(XML, "xml")]


def test_annotations_without_lists_are_all_for_training(write_voc: WriteVoc) -> None:
    root = write_voc({"a": GOOD, "b": GOOD})
    shutil.rmtree(root / "ImageSets")
    (root / "Annotations" / "b.xml").unlink()
    dataset = open_dataset(root, "train")
    assert [image.id for image in dataset.images] == ["a"]
    assert [(problem.file, problem.field) for problem in dataset.problems] == [("JPEGImages/b.jpg", "tags")]


def test_annotations_and_images_may_lie_in_the_same_folders(tmp_path: Path) -> None:
    for name in ("a", "day 1/b.v2", "day 1/x/c"):
        write_image(tmp_path / "JPEGImages" / f"{name}.jpg")
        (tmp_path / "Annotations" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "Annotations" / f"{name}.xml").write_text(GOOD)
    dataset = open_dataset(tmp_path, "train")
    assert [image.id for image in dataset.images] == ["a", "day 1/b.v2", "day 1/x/c"]
    assert (dataset.problems, dataset.labels) == ((), ("Bolt",))


@pytest.mark.parametrize("lists", [pytest.param(("default",), id="one-list"), pytest.param((), id="no-lists")])
def test_what_a_mac_leaves_beside_each_file_is_passed_over(write_voc: WriteVoc, lists: tuple[str, ...]) -> None:
    root = write_voc({"a": GOOD}, **dict.fromkeys(lists or ("train",), ("a",)))
    if not lists:
        shutil.rmtree(root / "ImageSets")
    for path in [path for path in root.rglob("*") if path.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    dataset = open_dataset(root, "train")
    assert ([image.id for image in dataset.images], dataset.problems) == (["a"], ())


def test_what_labelimg_writes_beside_the_images(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg")
    (tmp_path / "a.xml").write_text(GOOD)
    (image,) = open_dataset(tmp_path, "train").images
    assert (image.id, image.tags) == ("a", ("Bolt",))


def test_boxes_of_the_stored_frame_are_turned_upright(write_voc: WriteVoc) -> None:
    root = write_voc({"a": voc_xml(voc_object("Bolt", (11, 6, 30, 17)))})
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    Image.new("RGB", (80, 60)).save(root / "JPEGImages" / "a.jpg", exif=exif)
    (image,) = read_voc(root, "train").images
    assert image.size_hw == (80, 60)
    assert image.objects[0].box_xyxy == (43.0, 10.0, 55.0, 30.0)
    assert read_voc(root, "train").problems == ()
