"""Pseudo ground truth of coloured patches with the tiny bundle: real graphs whose answers are known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from typer.testing import CliRunner

from models.bundle import Bundle
from models.config import config_from_values
from models.labels import LabelSet
from tests.support.bundles.tiny_bundle import LABELS, encoded, picture, write_tiny_bundle
from training.data.dataset_writer import write_tags_csv
from training.data.open_dataset import open_dataset
from training.data.tagged import TaggedImage, TrueObject
from training.proposals.graph_runner import GraphRunner
from training.pseudo_labels.config import PseudoLabelConfig
from training.pseudo_labels.make import label_images, make_pseudo_labels
from training.pseudo_labels.masks import draw_masks
from training.pseudo_labels.selection import label_image, with_min_score
from training.pseudo_labels.store import Detected, DetectionStore
from weaksam.cli.train import train_app
from weaksam.formats.run_lengths import decode_rle

RED, GREEN = (255, 0, 0), (0, 255, 0)
# on the decoder's 4 px cells, so that boxes and masks are exact
FIRST, SECOND, NUT = (8, 8, 24, 24), (40, 36, 56, 56), (16, 12, 48, 40)
ADAPTIVE = PseudoLabelConfig(mode="adaptive", keep_share=0.5)


def tagged(
    folder: Path, name: str, patches: Sequence[tuple[tuple[int, int, int, int], tuple[int, int, int]]], *tags: str
) -> TaggedImage:
    """An image of patches; each is a true object, red ones bolts and green ones nuts."""
    path = folder / f"{name}.png"
    path.write_bytes(encoded(picture(*patches)))
    objects = [TrueObject("red-bolt" if rgb == RED else "green-nut", box) for box, rgb in patches]
    return TaggedImage(name, path, (64, 64), tags, tuple(objects))


@pytest.fixture
def images(tmp_path: Path) -> list[TaggedImage]:
    """Two bolts; a nut with a tag of something that is not there; nothing but a tag."""
    folder = tmp_path / "photos"
    folder.mkdir()
    return [
        tagged(folder, "bolts", [(FIRST, RED), (SECOND, RED)], "red-bolt"),
        tagged(folder, "nut", [(NUT, GREEN)], "blue-wrench", "green-nut"),
        tagged(folder, "grey", [], "red-bolt"),
    ]


def boxes_of(path: Path) -> dict[tuple[str, str], list[list[float]]]:
    """Boxes by file and class, best first."""
    document = json.loads(path.read_bytes())
    files = {row["id"]: row["file_name"] for row in document["images"]}
    names = {row["id"]: row["name"] for row in document["categories"]}
    found: dict[tuple[str, str], list[list[float]]] = {}
    for row in document["annotations"]:
        found.setdefault((files[row["image_id"]], names[row["category_id"]]), []).append(row["bbox"])
    return found


def xywh(box_xyxy: tuple[int, int, int, int]) -> list[int]:
    x0, y0, x1, y1 = box_xyxy
    return [x0, y0, x1 - x0, y1 - y0]


def test_modes_keep_what_they_say(images: list[TaggedImage], tiny_bundle: Bundle, tmp_path: Path) -> None:
    def bolts_and_wrenches(config: PseudoLabelConfig) -> tuple[int, int]:
        out = tmp_path / f"{config.mode}-{config.min_score}"
        found = boxes_of(make_pseudo_labels(config, tiny_bundle.folder, images, LABELS, out, tmp_path / "store"))
        assert found["nut.png", "green-nut"] == [xywh(NUT)]
        return len(found["bolts.png", "red-bolt"]), len(found.get(("nut.png", "blue-wrench"), []))

    assert bolts_and_wrenches(PseudoLabelConfig(mode="top1")) == (1, 1)
    assert bolts_and_wrenches(ADAPTIVE) == (2, 1)
    # calibrated at 0.8 in the tiny bundle: what is not there has no box
    assert bolts_and_wrenches(PseudoLabelConfig(mode="threshold")) == (2, 0)


def test_in_a_second_round_the_retrained_detector_teaches_and_the_weak_one_what_it_missed(
    images: list[TaggedImage], tiny_bundle: Bundle, tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    write_tiny_bundle(folder, detector=True)
    second_round = replace(ADAPTIVE, teacher="detector")
    found = boxes_of(make_pseudo_labels(second_round, folder, images, LABELS, tmp_path / "out"))
    # It draws one box around all ink of a colour, and has never learnt blue.
    assert found["bolts.png", "red-bolt"] == [xywh((FIRST[0], FIRST[1], SECOND[2], SECOND[3]))]
    assert found["nut.png", "green-nut"] == [xywh(NUT)]
    assert len(found["nut.png", "blue-wrench"]) == 1
    with pytest.raises(ValueError, match="teacher: .* has no detector: take the bundle of a finished training"):
        make_pseudo_labels(second_round, tiny_bundle.folder, images, LABELS, tmp_path / "other")


def test_the_data_set_has_the_category_ids_of_the_file_it_will_be_scored_with(
    images: list[TaggedImage], tiny_bundle: Bundle, tmp_path: Path
) -> None:
    theirs = tmp_path / "instances_val.json"
    ids = {name: 11 * (place + 1) for place, name in enumerate(reversed(LABELS.names))}
    theirs.write_text(json.dumps({"categories": [{"id": i, "name": name} for name, i in ids.items()]}))
    path = make_pseudo_labels(
        replace(ADAPTIVE, categories=theirs), tiny_bundle.folder, images, LABELS, tmp_path / "out"
    )

    document = json.loads(path.read_text())
    assert {row["name"]: row["id"] for row in document["categories"]} == ids
    assert boxes_of(path)["nut.png", "green-nut"] == [xywh(NUT)]
    assert open_dataset(tmp_path / "out", "train").images[1].objects[0].label == "green-nut"

    theirs.write_text(json.dumps({"categories": [{"id": 1, "name": LABELS.names[0]}]}))
    with pytest.raises(ValueError, match=rf"categories: .*instances_val\.json has none for {LABELS.names[1]}"):
        make_pseudo_labels(replace(ADAPTIVE, categories=theirs), tiny_bundle.folder, images, LABELS, tmp_path / "other")


def test_pycocotools_and_our_reader_agree_on_the_data_set(
    images: list[TaggedImage], tiny_bundle: Bundle, tmp_path: Path
) -> None:
    config = PseudoLabelConfig(mode="threshold", masks=True)
    path = make_pseudo_labels(config, tiny_bundle.folder, images, LABELS, tmp_path / "out")

    coco = COCO(str(path))
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == list(LABELS.names)
    assert [image["tags"] for image in coco.loadImgs(coco.getImgIds())] == [list(image.tags) for image in images]
    rows = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert sorted(row["bbox"] for row in rows) == sorted([xywh(FIRST), xywh(SECOND)])
    for row in coco.loadAnns(coco.getAnnIds()):
        x, y, width, height = map(int, row["bbox"])
        assert row["iscrowd"] == 0
        assert row["score"] == pytest.approx(1.0, abs=0.01)
        assert row["mask_score"] == pytest.approx(0.95)
        mask = coco.annToMask(row)
        assert mask[y : y + height, x : x + width].all()
        assert mask.sum() == row["area"] == width * height

    data_set = open_dataset(tmp_path / "out", "train")
    assert data_set.problems == ()
    assert data_set.labels == LABELS.names
    assert [image.id for image in data_set.images] == ["bolts", "nut", "grey"]
    nut = data_set.images[1].objects[0]
    assert (nut.label, nut.box_xyxy, nut.difficult) == ("green-nut", NUT, False)
    assert nut.mask_rle is not None
    assert decode_rle(nut.mask_rle).sum() == (NUT[2] - NUT[0]) * (NUT[3] - NUT[1])
    assert (tmp_path / "out" / "images" / "nut.png").resolve() == images[1].path.resolve()


def test_the_report_counts_hits_and_compares_modes(
    images: list[TaggedImage], tiny_bundle: Bundle, tmp_path: Path
) -> None:
    make_pseudo_labels(ADAPTIVE, tiny_bundle.folder, images, LABELS, tmp_path / "out")
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    # two bolts and the nut are hit; the wrench that is not there is the best of its tag all the same
    assert (report["hits"], report["pseudo_boxes"], report["true_objects"]) == (3, 4, 3)
    assert (report["precision"], report["recall"]) == (0.75, 1.0)
    assert report["per_class"]["red-bolt"]["recall"] == 1.0
    assert report["per_class"]["blue-wrench"] == {
        "precision": 0.0, "recall": None, "hits": 0, "pseudo_boxes": 1, "true_objects": 0,
    }  # fmt: skip
    assert report["tags_without_box"] == 1
    assert report["compared"]["top1"]["recall"] == pytest.approx(2 / 3, abs=1e-4)
    assert report["compared"]["at_precision_of_top1"]["adaptive"]["recall"] == 1.0


def test_a_report_without_true_boxes_says_nothing_about_them(
    images: list[TaggedImage], tiny_bundle: Bundle, tmp_path: Path
) -> None:
    make_pseudo_labels(ADAPTIVE, tiny_bundle.folder, images[2:], LABELS, tmp_path / "out")
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["instances"] == 0
    assert not {"precision", "compared"} & set(report)


def test_a_killed_run_goes_on_where_it_was(
    images: list[TaggedImage], tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = PseudoLabelConfig(mode="adaptive", keep_share=0.5, masks=True)
    unbroken = make_pseudo_labels(config, tiny_bundle.folder, images, LABELS, tmp_path / "unbroken")
    propose = GraphRunner.propose
    done: list[Path] = []

    def cut_off_at(count: int) -> None:
        def watched(runner: GraphRunner, image: TaggedImage, class_indices: Sequence[int]) -> object:
            if len(done) == count:
                raise KeyboardInterrupt
            done.append(image.path)
            return propose(runner, image, class_indices)

        monkeypatch.setattr(GraphRunner, "propose", watched)

    for count in (1, 2):
        cut_off_at(count)
        with pytest.raises(KeyboardInterrupt):
            make_pseudo_labels(config, tiny_bundle.folder, images, LABELS, tmp_path / "out")
        assert not (tmp_path / "out" / "annotations").exists()
    cut_off_at(-1)
    resumed = make_pseudo_labels(config, tiny_bundle.folder, images, LABELS, tmp_path / "out")
    assert done == [image.path for image in images]  # each once, over all three runs
    assert resumed.read_bytes() == unbroken.read_bytes()
    monkeypatch.setattr(GraphRunner, "run", _refuse)
    again = make_pseudo_labels(config, tiny_bundle.folder, images, LABELS, tmp_path / "out")
    assert again.read_bytes() == unbroken.read_bytes()


def _refuse(*_: object) -> None:
    raise AssertionError("a graph was run again")


def test_a_store_can_be_filled_in_parts(
    images: list[TaggedImage], tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = PseudoLabelConfig(mode="top1", masks=True)
    whole = make_pseudo_labels(config, tiny_bundle.folder, images, LABELS, tmp_path / "whole")
    for share in (images[1::2], images[::2]):
        label_images(config, tiny_bundle, share, LABELS, DetectionStore(tiny_bundle, tmp_path / "store"))
    monkeypatch.setattr(GraphRunner, "run", _refuse)
    parts = make_pseudo_labels(config, tiny_bundle.folder, images, LABELS, tmp_path / "parts", tmp_path / "store")
    assert parts.read_bytes() == whole.read_bytes()


def test_what_boxes_besides_the_best_must_reach_is_a_quantile_of_the_best() -> None:
    def found(*scores_and_labels: tuple[float, int]) -> Detected:
        scores, labels = zip(*scores_and_labels, strict=True)
        boxes = np.zeros((len(scores), 4), np.float32)
        return Detected(boxes, np.array(scores, np.float32), np.array(labels), np.zeros(len(scores), np.bool_))

    detected = [found((0.9, 0), (0.8, 0), (0.3, 1)), found((0.6, 0), (0.1, 0))]  # the best ones: 0.9, 0.3, 0.6
    config = PseudoLabelConfig(further_quantile=0.5)
    assert with_min_score(config, detected).min_score == pytest.approx(0.6)
    assert with_min_score(PseudoLabelConfig(), detected).min_score is None
    assert with_min_score(replace(config, min_score=0.2), detected).min_score == 0.2
    assert with_min_score(replace(config, mode="top1"), detected).min_score is None


def test_in_a_second_round_the_quantile_is_of_the_retrained_detectors_scores() -> None:
    boxes, labels = np.zeros((3, 4), np.float32), np.array([0, 0, 1])
    found = Detected(boxes, np.array([0.9, 0.5, 0.1], np.float32), labels, np.array([True, True, False]))
    config = PseudoLabelConfig(further_quantile=0.5, teacher="detector")
    assert with_min_score(config, [found]).min_score == pytest.approx(0.9)
    assert with_min_score(replace(config, teacher="wsod"), [found]).min_score == pytest.approx(0.1)


def test_boxes_are_held_to_the_thresholds_of_the_detector_that_found_them(tiny_bundle: Bundle) -> None:
    low, high = (0.1,) * len(LABELS), (0.6,) * len(LABELS)
    bundle = replace(tiny_bundle, thresholds=replace(tiny_bundle.thresholds, score=low, detector=high))
    bolt, nut = (LABELS.index(name) for name in ("red-bolt", "green-nut"))
    assert bolt is not None
    assert nut is not None
    detected = Detected(
        np.array([FIRST, FIRST], np.float32),
        np.array([0.3, 0.3], np.float32),
        np.array([bolt, nut]),
        np.array([True, False]),
    )
    image = TaggedImage("a", Path("a.png"), (64, 64), ("red-bolt", "green-nut"), ())
    config = PseudoLabelConfig(mode="threshold", teacher="detector")
    kept = label_image(config, bundle, image, detected, LABELS).objects
    assert [thing.label for thing in kept] == [nut], "the weak detector's scores are on another scale"


def test_a_second_box_of_an_unsure_tag_goes(images: list[TaggedImage], tiny_bundle: Bundle, tmp_path: Path) -> None:
    config = replace(ADAPTIVE, min_score=1.5)  # beyond any score
    found = boxes_of(make_pseudo_labels(config, tiny_bundle.folder, images, LABELS, tmp_path / "out"))
    assert len(found["bolts.png", "red-bolt"]) == 1
    assert json.loads((tmp_path / "out" / "report.json").read_text())["min_score"] == 1.5


def test_an_image_that_changes_is_looked_at_again(
    images: list[TaggedImage], tiny_bundle: Bundle, tmp_path: Path
) -> None:
    make_pseudo_labels(ADAPTIVE, tiny_bundle.folder, images, LABELS, tmp_path / "out")
    images[0].path.write_bytes(encoded(picture((FIRST, RED))))
    found = boxes_of(make_pseudo_labels(ADAPTIVE, tiny_bundle.folder, images, LABELS, tmp_path / "out"))
    assert found["bolts.png", "red-bolt"] == [xywh(FIRST)]


def test_where_the_segmenter_sees_nothing_the_box_is_the_mask(images: list[TaggedImage], tiny_bundle: Bundle) -> None:
    boxes = np.array([(4.5, 8, 20, 16), FIRST], np.float32)
    on_grey, on_grey_too = draw_masks(GraphRunner(tiny_bundle, threads=1), images[2], boxes)
    assert (on_grey.predicted_iou, on_grey_too.predicted_iou) == (0, 0)
    mask_hw = decode_rle(on_grey.rle)
    assert mask_hw.sum() == 16 * 8
    assert mask_hw[8:16, 4:20].all()


@pytest.mark.parametrize(("margin", "second"), [(0.0, (56, 40, 64, 52)), (0.5, SECOND)])
def test_boxes_become_those_of_their_masks(
    margin: float,
    second: tuple[int, int, int, int],
    images: list[TaggedImage],
    tiny_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cut_and_beside = np.array([(12, 12, 20, 20), (56, 40, 64, 52)], np.float32)  # the second only touches its bolt
    scores, labels = np.array([0.9, 0.8], np.float32), np.zeros(2, np.int64)
    detected = Detected(cut_and_beside, scores, labels, np.zeros(2, np.bool_))
    monkeypatch.setattr(DetectionStore, "detected", lambda *_: detected)
    config = replace(ADAPTIVE, boxes_from_masks=True, box_margin=margin)
    path = make_pseudo_labels(config, tiny_bundle.folder, images[:1], LABELS, tmp_path / "out")
    assert boxes_of(path)["bolts.png", "red-bolt"] == [xywh(FIRST), xywh(second)]
    assert "segmentation" not in json.loads(path.read_bytes())["annotations"][0], "masks were not asked for"
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["hits"] == (2 if second == SECOND else 1)
    assert report["tight_recall"] == report["hits"] / 2


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"box_margin": 1.5}, r"box_margin is 1\.5: must be at most 1"),
        ({"further_quantile": 1.0}, r"further_quantile is 1\.0: must be less than 1"),
        ({"further_quantile": -0.1}, r"further_quantile is -0\.1: must be at least 0"),
    ],
)
def test_settings_keep_within_their_ranges(values: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        config_from_values(PseudoLabelConfig, values, "pgt.toml")


def test_every_second_image_is_labelled(images: list[TaggedImage], tiny_bundle: Bundle, tmp_path: Path) -> None:
    make_pseudo_labels(PseudoLabelConfig(mode="top1", subsample=2), tiny_bundle.folder, images, LABELS, tmp_path)
    assert [image.id for image in open_dataset(tmp_path, "train").images] == [image.id for image in images[::2]]


def test_copies_do_not_overwrite_other_images(images: list[TaggedImage], tiny_bundle: Bundle, tmp_path: Path) -> None:
    config = PseudoLabelConfig(mode="top1", image_files="copy")
    for _ in range(2):
        make_pseudo_labels(config, tiny_bundle.folder, images, LABELS, tmp_path / "out")
    copied = tmp_path / "out" / "images" / "nut.png"
    assert not copied.is_symlink()
    assert copied.read_bytes() == images[1].path.read_bytes()
    copied.write_bytes(b"someone's own picture")
    with pytest.raises(ValueError, match=r"out: .*nut\.png is there already and is another image"):
        make_pseudo_labels(config, tiny_bundle.folder, images, LABELS, tmp_path / "out")
    assert copied.read_bytes() == b"someone's own picture"


def test_images_of_one_id_get_names_of_their_own(
    images: list[TaggedImage], tiny_bundle: Bundle, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    twin = tagged(other, "bolts", [(NUT, RED)], "red-bolt")
    path = make_pseudo_labels(
        PseudoLabelConfig(mode="top1"), tiny_bundle.folder, [images[0], twin], LABELS, tmp_path / "out"
    )
    assert boxes_of(path)["bolts~2.png", "red-bolt"] == [xywh(NUT)]


def test_annotations_of_others_are_never_replaced(
    images: list[TaggedImage], tiny_bundle: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "theirs" / "annotations").mkdir(parents=True)
    with pytest.raises(ValueError, match="holds another data set: give a new folder"):
        make_pseudo_labels(ADAPTIVE, tiny_bundle.folder, images, LABELS, tmp_path / "theirs")


@pytest.mark.parametrize(("tag", "owner"), [("spanner", "the data set"), ("green-nuts", "the data set")])
def test_an_unknown_tag_is_named_with_the_nearest(
    tag: str, owner: str, images: list[TaggedImage], tiny_bundle: Bundle, tmp_path: Path
) -> None:
    odd = TaggedImage("odd", images[0].path, (64, 64), (tag,))
    with pytest.raises(ValueError, match=rf"tags: '{tag}' is no label of {owner} \(nearest: "):
        make_pseudo_labels(ADAPTIVE, tiny_bundle.folder, [odd], LABELS, tmp_path / "out")


def test_categories_follow_the_data_set_and_not_the_bundle(
    images: list[TaggedImage], tiny_bundle: Bundle, tmp_path: Path
) -> None:
    turned = LabelSet(tuple(reversed(LABELS.labels)))
    path = make_pseudo_labels(PseudoLabelConfig(mode="top1"), tiny_bundle.folder, images, turned, tmp_path / "out")
    assert [row["name"] for row in json.loads(path.read_bytes())["categories"]] == list(turned.names)
    assert boxes_of(path)["nut.png", "green-nut"] == [xywh(NUT)]


def test_the_command_labels_a_plain_folder(images: list[TaggedImage], tiny_bundle: Bundle, tmp_path: Path) -> None:
    folder = images[0].path.parent
    write_tags_csv(folder / "tags.csv", {image.path.name: image.tags for image in images})
    arguments = ["pgt", "--config", "training/configs/stages/pgt.toml", "--set", "keep_share=0.5", "--split", "train"]
    arguments += ["--data", str(folder), "--bundle", str(tiny_bundle.folder), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(train_app, arguments)
    assert result.exit_code == 0, result.output
    found = boxes_of(tmp_path / "out" / "annotations" / "instances_train.json")
    assert len(found["bolts.png", "red-bolt"]) == 2
    assert json.loads((tmp_path / "out" / "config.json").read_text())["keep_share"] == 0.5
