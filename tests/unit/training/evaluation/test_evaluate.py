from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.bundle import Bundle, GraphSpec, Thresholds
from models.image import decode_file
from models.labels import Label, LabelSet
from models.settings import PostSettings, PromptSettings
from service.backends.base import Array, Tensors
from service.inference.cache import ResultCache
from service.inference.pipeline import Pipeline, RequestLimits
from service.observability.metrics import Metrics
from tests.support.fakes.fake_backend import FakeBackend
from training.data.tagged import TaggedImage, TrueObject
from training.evaluation.evaluate import evaluate, score_images
from training.evaluation.stored_results import read_tagged
from training.scenes.generate import generate_scenes
from weaksam.cli.evaluation.evaluate import evaluate as evaluate_command
from weaksam.errors import UserError
from weaksam.formats.run_lengths import encode_rle

SIDE_PX, MAP_CELLS, LOGIT_CELLS, LEVELS = 64, 16, 16, 3
BOXES_XYXY = np.array([[8, 8, 24, 24], [40, 32, 56, 56]], np.float32)  # of Nut and Bolt


class Oracle:
    """Graphs that know the two objects: perfect masks for a prompt inside one, perfect scores unless `confused`."""

    def __init__(self, confused: bool) -> None:
        self.encodes = 0
        self._class_of = (1, 0) if confused else (0, 1)

    async def __call__(self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Tensors:
        answer: Tensors = getattr(self, model)(inputs)
        return answer

    def cam(self, _: Mapping[str, Array]) -> Tensors:
        self.encodes += 1
        maps = np.zeros((1, 1, 2, MAP_CELLS, MAP_CELLS), np.float32)
        for label, box in enumerate(BOXES_XYXY):
            x, y = (box[:2] + box[2:]) / 2 * MAP_CELLS / SIDE_PX
            maps[0, 0, label, int(y), int(x)] = 1.0
        return {"scores": np.full((1, 2), 0.9, np.float32), "maps": maps}

    def sam_encoder(self, _: Mapping[str, Array]) -> Tensors:
        return {"embedding": np.zeros((1, 4, 4, 4), np.float32)}

    def sam_decoder(self, inputs: Mapping[str, Array]) -> Tensors:
        points_xy = inputs["coords"][:, 0]
        count = len(points_xy)
        boxes = np.zeros((count, LEVELS, 4), np.float32)
        logits = np.full((count, LEVELS, LOGIT_CELLS, LOGIT_CELLS), -5.0, np.float16)
        for index, (x, y) in enumerate(points_xy):
            for box in BOXES_XYXY:
                if box[0] <= x < box[2] and box[1] <= y < box[3]:
                    boxes[index, 0] = box
                    x0, y0, x1, y1 = (box * LOGIT_CELLS / SIDE_PX).astype(int)
                    logits[index, 0, y0:y1, x0:x1] = 5.0
        certain = np.full((count, LEVELS), 0.9, np.float32)
        return {"boxes": boxes, "iou": certain, "stability": certain, "logits": logits}

    def wsod(self, inputs: Mapping[str, Array]) -> Tensors:
        boxes = inputs["boxes"][0]
        scores = np.zeros((1, len(boxes), 2), np.float32)
        for thing, label in enumerate(self._class_of):
            scores[0, np.abs(boxes - BOXES_XYXY[thing]).max(axis=1) < 1, label] = 0.8
        return {"scores": scores, "deltas": np.zeros((1, len(boxes), 1, 4), np.float32)}


class Careless(Oracle):
    """Draws boxes of twice the side."""

    def wsod(self, inputs: Mapping[str, Array]) -> Tensors:
        answer = super().wsod(inputs)
        answer["deltas"][..., 2:] = 5 * math.log(2)
        return answer


def _pipeline(oracle: Oracle, box_mask_share: float = 0.0) -> Pipeline:
    graph = GraphSpec("x.onnx", "0" * 64, SIDE_PX, (124, 116, 104), (), (), {})
    bundle = Bundle(
        folder=Path(),
        name="oracle",
        version="1",
        digest="d",
        labels=LabelSet((Label("Nut"), Label("Bolt"))),
        graphs=dict.fromkeys(("cam", "sam_encoder", "sam_decoder", "wsod"), graph),
        map_kinds=("coarse",),
        thresholds=Thresholds((0.5, 0.5), (0.5, 0.5)),
        prompts=PromptSettings(grid_sides=(4,)),
        post=PostSettings(quality_power=0.0, box_mask_share=box_mask_share),
        provenance={},
    )
    metrics = Metrics()
    return Pipeline(bundle, FakeBackend(oracle), ResultCache(10**7, metrics), RequestLimits(), metrics)


def _image(folder: Path, tags: tuple[str, ...] = ("nut", "bolt")) -> TaggedImage:
    """Twice as large as the graphs' input, labels spelled in lower case."""
    path = folder / "a.png"
    Image.fromarray(np.full((2 * SIDE_PX, 2 * SIDE_PX, 3), 90, np.uint8)).save(path)
    objects = []
    for label, box in zip(("nut", "bolt"), 2 * BOXES_XYXY, strict=True):
        mask = np.zeros((2 * SIDE_PX, 2 * SIDE_PX), np.bool_)
        x0, y0, x1, y1 = box.astype(int)
        mask[y0:y1, x0:x1] = True
        objects.append(TrueObject(label, (float(x0), float(y0), float(x1), float(y1)), encode_rle(mask)))
    return TaggedImage("a", path, (2 * SIDE_PX, 2 * SIDE_PX), tags, tuple(objects) if tags else ())


@pytest.mark.parametrize(
    ("confused", "precision", "corloc"),
    [
        pytest.param(False, 1.0, 1.0, id="right-classes"),
        # the other object comes second, with score 0: precision 1/2 at full recall
        pytest.param(True, 0.5, 0.0, id="classes-exchanged"),
    ],
)
async def test_what_the_pipeline_answers_is_measured(
    tmp_path: Path, confused: bool, precision: float, corloc: float
) -> None:
    oracle = Oracle(confused)

    report = (await score_images(_pipeline(oracle), [_image(tmp_path)])).report()

    names = ("ap50", "ap50_tagged", "mask_ap50")
    assert {name: report[name] for name in names} == dict.fromkeys(names, precision)
    assert report["corloc"] == corloc
    assert report["proposal_recall"] == {"0.5": 1.0, "0.75": 1.0, "0.9": 1.0}
    assert report["proposals_per_image"] == 2.0
    assert report["naive_corloc"] == 0.5, "one box for both tags"
    assert set(report["per_class"]) == {"Nut", "Bolt"}, "classes bear the bundle's names"
    assert oracle.encodes == 1, "the run without tags must reuse the features"


@pytest.mark.parametrize(("share", "precision"), [(0.0, 0.0), (1.0, 1.0)])
async def test_boxes_are_measured_as_they_are_served_though_no_true_mask_is_known(
    tmp_path: Path, share: float, precision: float
) -> None:
    known = _image(tmp_path)
    image = replace(known, objects=tuple(replace(thing, mask_rle=None) for thing in known.objects))
    pipeline = _pipeline(Careless(confused=False), share)
    report = (await score_images(pipeline, [image])).report()
    assert (report["ap50_tagged"], report["ap50"]) == (precision, precision)


async def test_an_image_without_tags_counts_against_predicted_tags_only(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    images = [_image(tmp_path / "empty", tags=()), _image(tmp_path)]

    report = (await score_images(_pipeline(Oracle(confused=False)), images)).report()

    assert report["ap50_tagged"] == 1.0
    assert report["ap50"] == 0.5, "of equal scores the first image's, a miss, comes first"


async def test_shown_is_what_a_plain_request_gets(tmp_path: Path) -> None:
    image, pipeline = _image(tmp_path), _pipeline(Oracle(confused=False))
    await score_images(pipeline, [image], tmp_path)

    rows = read_tagged(tmp_path, image.id)["detections"]

    plain = await pipeline.detect(decode_file(image.path), image.tags)
    assert {row["id"] for row in rows if row["shown"]} == {row.id for row in plain.detections}
    assert [row["shown"] for row in rows].count(True) == 2 < len(rows)


async def test_results_of_another_bundle_are_not_taken_for_this_one_s(tmp_path: Path) -> None:
    image, pipeline = _image(tmp_path), _pipeline(Oracle(confused=False))
    first = (await score_images(pipeline, [image], tmp_path)).report()
    assert (await score_images(pipeline, [image], tmp_path)).report() == first
    pipeline.info = pipeline.info.model_copy(update={"digest": "e"})
    with pytest.raises(UserError, match="holds results of another bundle, oracle 1 \\(d\\): give another folder"):
        await score_images(pipeline, [image], tmp_path)


async def test_results_are_made_anew_if_an_image_or_its_tags_changed(tmp_path: Path) -> None:
    image = _image(tmp_path)
    await score_images(_pipeline(Oracle(confused=False)), [image], tmp_path)
    for changed in (replace(image, tags=("nut",)), replace(image, objects=())):
        oracle = Oracle(confused=False)
        await score_images(_pipeline(oracle), [changed], tmp_path)
        await score_images(_pipeline(oracle), [changed], tmp_path)
        assert oracle.encodes == 1
    Image.fromarray(np.full((2 * SIDE_PX, 2 * SIDE_PX, 3), 91, np.uint8)).save(image.path)
    oracle = Oracle(confused=False)
    await score_images(_pipeline(oracle), [changed], tmp_path)
    assert oracle.encodes == 1


def test_tags_alone_are_nothing_to_measure_on(tmp_path: Path, default_bundle_dir: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    (tmp_path / "tags.csv").write_text("file,tags\na.png,nut\n")
    with pytest.raises(UserError, match="no image in split 'train' with a box for each of its tags"):
        evaluate(default_bundle_dir, tmp_path, "train")


def test_a_split_without_images_is_an_error(tmp_path: Path) -> None:
    list(generate_scenes(tmp_path, 1, 0, (96, 128), {"test": 1.0}))
    next((tmp_path / "JPEGImages").iterdir()).unlink()

    with pytest.raises(ValueError, match="no usable image in split 'test'"):
        evaluate(tmp_path / "bundle", tmp_path, "test")


def test_the_command_writes_the_report(tmp_path: Path, default_bundle_dir: Path) -> None:
    list(generate_scenes(tmp_path / "scenes", 2, 0, (240, 320), {"test": 1.0}))
    json_out = tmp_path / "out" / "report.json"

    evaluate_command(default_bundle_dir, tmp_path / "scenes", "test", json_out, limit=1)

    report = json.loads(json_out.read_text())
    names = {
        "proposal_recall",
        "proposals_per_image",
        "corloc",
        "ap50",
        "ap50_tagged",
        "naive_ap50_tagged",
        "mask_ap50",
    }
    assert names <= set(report)
    assert (report["images"], report["split"], report["labels_not_in_bundle"]) == (1, "test", [])
    assert set(report["proposal_recall"]) == {"0.5", "0.75", "0.9"}
