"""Random folders of odd files: no reader breaks, and every image is used or reported.

READERS_EXAMPLES=20000 pytest tests/property/test_readers.py
"""

from __future__ import annotations

import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from PIL import Image

from training.data.open_dataset import open_dataset
from training.data.tagged import TaggedDataset
from weaksam.errors import UserError
from weaksam.files.image_files import find_images
from weaksam.labelling.worklist import Worklist, worklist_from_names, worklist_from_table

EXAMPLES = int(os.environ.get("READERS_EXAMPLES", "150"))
SIZE_WH = (32, 24)
# Splits are named by lists or files of their own: an image that one of them does not name belongs to another.
SPLIT_LISTS = ("annotations/instances_", "ImageSets/", "train.txt")


def _encoded(file_format: str, orientation: int = 1) -> bytes:
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(np.full((SIZE_WH[1], SIZE_WH[0], 3), 90, np.uint8)).save(buffer, file_format, exif=exif)
    return buffer.getvalue()


JPEG = _encoded("JPEG")
IMAGES = (JPEG, _encoded("JPEG", 6), _encoded("PNG"), _encoded("AVIF"), JPEG[:40], b"", b"\0\0\0\x18ftypheic", b"text")
FOLDERS = ("", "a/", "train/", "valid/", "images/", "images/train/", "train/images/", "JPEGImages/", "bolt/", "Lab el/")
IMAGE_NAMES = tuple(f"{stem}{suffix}" for stem in ("x", "y 1", "Ü") for suffix in (".jpg", ".JPG", ".png", ".heic"))
NAMES = st.sampled_from(
    ("bolt", "nut", "", " ", "Bolt", "ü", "0", "x.jpg", "a\\x.jpg", "train/x.jpg", "../x.jpg", "\0")
)
XML_HEADS = st.sampled_from(
    (
        "",
        '<?xml version="1.0" encoding="gbk"?>',
        '<?xml version="1.0" encoding="none"?>',
        "<!DOCTYPE a [<!ENTITY e 'x'>]>",
    )
)
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 90), st.floats(), NAMES, st.lists(st.integers(0, 9), max_size=7)
)
ROW_KEYS = ("id", "image_id", "category_id", "file_name", "name", "bbox", "segmentation", "width", "height", "iscrowd")
ROWS = st.lists(st.one_of(ODD, st.dictionaries(st.sampled_from(ROW_KEYS), ODD, max_size=9)), max_size=4)
SHAPES = st.fixed_dictionaries({"shapes": ROWS, "flags": st.one_of(ODD, st.dictionaries(NAMES, ODD, max_size=3))})


@st.composite
def coco(draw: Any) -> bytes:
    """A COCO file, whole in most places."""
    names = draw(st.lists(st.sampled_from(IMAGE_NAMES), min_size=1, max_size=3))
    images = [
        {"id": draw(st.sampled_from((n, str(n)))), "file_name": f, "width": 32, "height": 24}
        for n, f in enumerate(names)
    ]
    boxes = [{"image_id": n, "category_id": draw(st.sampled_from((1, "1", 9))), "bbox": [1, 2, 9, 9]} for n in range(3)]
    for row in boxes:
        row["segmentation"] = draw(
            st.one_of(ODD, st.just([[1, 1, 9, 1, 9, 9]]), st.just({"size": [24, 32], "counts": "PP"}))
        )
    document = {
        "images": images + draw(ROWS),
        "annotations": boxes + draw(ROWS),
        "categories": [{"id": 1, "name": "bolt"}],
    }
    return json.dumps(document).encode()


@st.composite
def label_studio(draw: Any) -> bytes:
    """Tasks of an export, full or JSON_MIN."""
    results = st.lists(
        st.fixed_dictionaries(
            {
                "value": st.one_of(
                    ODD, st.dictionaries(st.sampled_from(("choices", "points", "x", "rectanglelabels")), ODD)
                )
            }
        )
    )
    tasks = []
    for name in draw(st.lists(st.sampled_from(IMAGE_NAMES), min_size=1, max_size=3)):
        full = {"data": {"image": f"/data/upload/1/0a1b2c3d-{name}"}, "annotations": [{"result": draw(results)}]}
        tasks.append(
            draw(st.sampled_from((full, {"image": name, "choice": draw(ODD)}, {**full, "annotations": draw(ODD)})))
        )
    return json.dumps([*tasks, draw(ODD)]).encode()


@st.composite
def voc(draw: Any) -> bytes:
    """A VOC annotation."""
    value = st.sampled_from((1, 9, 0.5, "x", "nan", ""))
    corners = "".join(f"<{side}>{draw(value)}</{side}>" for side in ("xmin", "ymin", "xmax", "ymax"))
    name = draw(st.sampled_from(("bolt", "", "ü")))
    size = f"<size><width>{draw(st.sampled_from((24, 32, 'x', 99)))}</width><height>24</height></size>"
    thing = f"<object><name>{name}</name><bndbox>{corners}</bndbox></object>"
    return f"{draw(XML_HEADS)}<annotation>{size}{thing}</annotation>".encode()


@st.composite
def cvat(draw: Any) -> bytes:
    """An XML of CVAT."""
    number = st.sampled_from(("1", "9.5", "x", "nan", "", "1e300"))
    images = ["<image/>"]
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from(IMAGE_NAMES))
        box = f'<box label="nut" xtl="{draw(number)}" ytl="1" xbr="9" ybr="9"/>'
        polygon = f'<polygon label="" points="1,{draw(number)};2,3;4,9"/>'
        images.append(
            f'<image name="{name}" width="{draw(number)}" height="24"><tag label="bolt"/>{box}{polygon}</image>'
        )
    return f"{draw(XML_HEADS)}<annotations>{''.join(images)}</annotations>".encode()


LINES = st.lists(
    st.sampled_from(
        (
            "0 0.5 0.5 0.2 0.2",
            "1 .1 .1 .9 .1 .9 .9",
            "0 nan 0 0 0",
            "bolt",
            "7 1 1 1 1",
            "x.jpg,bolt",
            "y 1.jpg,bolt,nut",
            "a\\x.JPG,nut",
            "file,tags",
            "y 1",
            "x  1",
            '"',
        )
    ),
    max_size=5,
)
TEXTS = LINES.map(lambda lines: "\n".join(lines).encode())
ANYTHING = st.one_of(st.binary(max_size=60), TEXTS, ODD.map(lambda value: json.dumps(value).encode()))
YAML = st.sampled_from(
    (
        b"names: [bolt, nut]\n",
        b"train: images/train\nnames: {0: bolt}\n",
        b"names: [",
        b"path: /x\ntrain: [a, 3]\nnames: {a: b}",
        b"- 1",
    )
)
FILES: dict[str, Any] = {
    "tags.csv": TEXTS.map(lambda text: b"file,tags\n" + text),
    "train/_classes.csv": TEXTS,
    "labels.txt": TEXTS,
    "classes.txt": TEXTS,
    "data.yaml": YAML,
    "train.txt": TEXTS,
    "labels/x.txt": TEXTS,
    "labels/train/x.txt": TEXTS,
    "train/labels/y 1.txt": TEXTS,
    "x.txt": TEXTS,
    "a/x.json": SHAPES.map(lambda value: json.dumps(value).encode()),
    "y 1.json": ANYTHING,
    "annotations/instances_train.json": coco(),
    "train/_annotations.coco.json": coco(),
    "result.json": st.one_of(coco(), label_studio()),
    "annotations.xml": cvat(),
    "Annotations/x.xml": voc(),
    "Annotations/y 1.xml": st.one_of(voc(), ANYTHING),
    "x.xml": voc(),
    "ImageSets/Main/train.txt": TEXTS,
    "_annotations.csv": ANYTHING,
}
TREES = st.fixed_dictionaries(
    {
        "images": st.dictionaries(
            st.tuples(st.sampled_from(FOLDERS), st.sampled_from(IMAGE_NAMES)),
            st.sampled_from(IMAGES),
            min_size=1,
            max_size=6,
        )
    },
    optional={},
)


@st.composite
def trees(draw: Any) -> dict[str, bytes]:
    """A folder: some images, up to three kinds of annotation, whole or damaged."""
    images = draw(TREES)["images"]
    tree = {f"{folder}{name}": content for (folder, name), content in images.items()}
    for name in draw(st.lists(st.sampled_from(sorted(FILES)), max_size=3, unique=True)):
        content = draw(st.one_of(FILES[name], FILES[name], ANYTHING))
        tree[name] = content[: draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))]
    return tree


def write(root: Path, tree: dict[str, bytes]) -> None:
    for name, content in tree.items():
        path = root / name
        if not path.exists() and not any(parent.is_file() for parent in path.parents):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    (root / "loop").symlink_to(root)
    (root / "dangling.jpg").symlink_to(root / "nothing")


def unaccounted(root: Path, dataset: TaggedDataset) -> set[str]:
    """Images that are neither used nor named by the report, itself or by an annotation of its name."""
    used = {image.path.resolve() for image in dataset.images}
    told = " ".join(f"{problem.file} {problem.message}" for problem in dataset.problems)
    annotations = {Path(problem.file).stem for problem in dataset.problems}
    return {
        path
        for path in find_images(root).paths
        if (root / path).resolve() not in used and path not in told and Path(path).stem not in annotations
    }


def opened(root: Path) -> TaggedDataset | str:
    """The data set, or the sentence that refuses it."""
    try:
        return open_dataset(root, "train")
    except UserError as error:
        return str(error)


def worklist_of(root: Path, place: str) -> Worklist | str:
    """The worklist, or the sentence that refuses it."""
    try:
        if place == "csv":
            return worklist_from_table(root, root / "tags.csv")
        return worklist_from_names(root, "folder" if place == "folder" else "sidecar")
    except UserError as error:
        return str(error)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(tree=trees())
def test_every_image_of_a_random_folder_is_used_or_reported(tree: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write(root, tree)
        note(f"{ {path: content[:200] for path, content in tree.items()} }")
        dataset = opened(root)
        if isinstance(dataset, str):
            assert root.name in dataset
            assert "\n" not in dataset
            return
        assert all(image.path.is_file() for image in dataset.images)
        if not any(place in file for file in tree for place in SPLIT_LISTS):
            assert unaccounted(root, dataset) == set()


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(tree=trees(), place=st.sampled_from(("folder", "sidecar", "csv")))
def test_every_image_of_a_random_folder_is_labelled_or_a_failure(tree: dict[str, bytes], place: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write(root, {"tags.csv": b"file,tags\nx.JPG,bolt\n", **tree})
        worklist = worklist_of(root, place)
        if isinstance(worklist, str):
            assert root.name in worklist
            return
        failed = {failure.image for failure in worklist.failures}
        assert set(worklist.images) == set(worklist.tags) | (failed & set(worklist.images))


BOX = {"x": 1, "y": 1, "width": 9, "height": 9, "rotation": 0, "rectanglelabels": ["bolt"]}
TURNED = {**BOX, "rotation": 30, "original_width": 32, "original_height": 24}
ELLIPSE = {"x": 50, "y": 50, "radiusX": 9, "radiusY": 5, "rotation": 30, "ellipselabels": ["nut"]}
POLYGON = {"points": [[1, 1], [9, 1], [9, 9]], "polygonlabels": ["nut"]}
REGIONS = [BOX, TURNED, ELLIPSE, POLYGON]
RESULT = {"type": "choices", "original_width": 32, "original_height": 24, "value": {"choices": ["bolt"]}}
CATEGORIES = [
    {"id": 0, "name": "all", "supercategory": "none"},
    {"id": 1, "name": "bolt", "supercategory": "all"},
]
COCO = {
    "images": [{"id": 1, "file_name": "x.jpg", "width": 32, "height": 24}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 9, 9], "segmentation": [[1, 1, 9, 1, 9, 9]]},
        {"id": 2, "image_id": 1, "category_id": 1, "segmentation": {"size": [24, 32], "counts": [700, 68]}},
    ],
    "categories": CATEGORIES,
}
CIRCLE = {"label": "nut", "shape_type": "circle", "points": [[9, 9], [9, 4]]}
GOOD: dict[str, Any] = {
    "result.json": COCO,
    "annotations/instances_train.json": COCO,
    "project.json": [
        {
            "id": 1,
            "data": {"image": "x.jpg"},
            "annotations": [{"was_cancelled": False, "result": [RESULT, *({"value": value} for value in REGIONS)]}],
        }
    ],
    "min.json": [{"id": 1, "image": "x.jpg", "choice": {"choices": ["bolt"]}, "label": REGIONS}],
    "x.json": {"flags": {"bolt": True}, "shapes": [{"label": "nut", "points": [[1, 1]]}, CIRCLE], "imagePath": "x.jpg"},
}


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container of a document with each of its keys."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [place for key in keys for place in ((value, key), *places(value[key]))]


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=st.sampled_from(sorted(GOOD)), data=st.data())
def test_any_values_of_a_good_document_may_be_odd(name: str, data: st.DataObject) -> None:
    document = json.loads(json.dumps(GOOD[name]))
    for _ in range(data.draw(st.integers(1, 2))):
        container, key = data.draw(st.sampled_from(places(document)))
        container[key] = data.draw(st.one_of(ODD, st.dictionaries(NAMES, ODD, max_size=2), st.just([[]])))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root, {"x.jpg": JPEG, "y.jpg": JPEG, name: json.dumps(document).encode()})
        dataset = opened(root)
        if isinstance(dataset, str):
            assert root.name in dataset
        elif "instances" not in name:
            assert unaccounted(root, dataset) == set()
