"""A real Label Studio with this service as its ML backend."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundle import Bundle
from service.app import create_app
from tests.support.bundles.service_parts import TWO_BOLTS_AND_A_NUT, tiny_settings
from tests.support.bundles.tiny_bundle import encoded
from tests.support.label_studio.project import PLACES, SAMPLES, Json, Project, predicted_project, wait_until_ready
from tests.support.label_studio.server import TOKEN, LabelStudio, decode_brushes, label_studio
from tests.support.servers.image_host import ImageHost
from tests.support.servers.live_server import live_server
from weaksam.arrays import Mask
from weaksam.formats.convert import convert
from weaksam.formats.polygons import mask_iou, polygons_to_mask
from weaksam.formats.run_lengths import decode_rle, encode_rle
from weaksam.labelling.worklist import worklist_from_table


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudio]:
    with label_studio(tmp_path_factory.mktemp("label_studio")) as running:
        yield running


@pytest.fixture(scope="module")
def project(studio: LabelStudio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with predicted_project(studio, tmp_path_factory.mktemp("service")) as made:
        yield made


def drawn_with(prediction: Json, control: str) -> list[Json]:
    return [region for region in prediction["result"] if region["from_name"] == control]


def box_px(region: Json) -> list[float]:
    x, y, width, height = (region["value"][side] / 100 for side in ("x", "y", "width", "height"))
    across, down = region["original_width"], region["original_height"]
    return [x * across, y * down, (x + width) * across, (y + height) * down]


def mask_of(detection: Json) -> Mask:
    return decode_rle(detection["mask"]).astype(np.bool_)


def spelling(label: str) -> str:
    return {"AdjustableWrench": "adjustable wrench"}.get(label, label)


@pytest.mark.parametrize("place", PLACES)
def test_what_label_studio_stores_is_what_detect_returns(project: Project, place: str) -> None:
    prediction, detections = project.prediction(place), project.detect(place)["detections"]
    assert detections, "nothing is found: this test would show nothing"
    brushes, boxes, outlines = (drawn_with(prediction, control) for control in ("brush", "box", "outline"))
    for regions, kind in ((brushes, "brushlabels"), (boxes, "rectanglelabels"), (outlines, "polygonlabels")):
        assert [region["value"][kind] for region in regions] == [[spelling(row["label"])] for row in detections]
        assert [region["score"] for region in regions] == [row["score"] for row in detections]
    for region, detection in zip(boxes, detections, strict=True):
        assert box_px(region) == pytest.approx(detection["box_xyxy"], abs=1e-6)
    for mask_hw, detection in zip(decode_brushes(brushes), detections, strict=True):
        assert np.array_equal(mask_hw, mask_of(detection))
    for region, detection in zip(outlines, detections, strict=True):
        mask_hw = mask_of(detection)
        corners_px = np.array(region["value"]["points"]) * mask_hw.shape[::-1] / 100
        assert mask_iou(polygons_to_mask([corners_px], mask_hw.shape), mask_hw) >= 0.97
    assert prediction["score"] == max(row["score"] for row in detections)


def test_the_version_names_the_bundle_and_its_digest(project: Project) -> None:
    bundle = project.service.get("/labels").json()["bundle"]
    version = f"weaksam {bundle['name']} {bundle['version']} {bundle['digest'][:12]}"
    assert {project.prediction(place)["model_version"] for place in PLACES} == {version}
    connection = project.studio.get(f"/api/ml/{project.backend}")
    assert (connection["readable_state"], connection["model_version"]) == ("Connected", version)


def test_a_task_is_predicted_once_and_one_that_failed_again(project: Project) -> None:
    elsewhere = {"data": {"image": "http://photos.example/a.jpg", "tags": "Wood"}}
    project.studio.post(f"/api/projects/{project.id}/import", [elsewhere])
    failed = max(task["id"] for task in project.studio.get(f"/api/tasks?project={project.id}&fields=all")["tasks"])
    for times in (1, 2):
        project.studio.retrieve_predictions(project.id)
        predictions = project.studio.predictions(failed)
        assert [row["result"] for row in predictions] == [[]] * times
        assert all(row["model_version"].endswith("failed: image_url_refused") for row in predictions)
    versions = [row["model_version"] for row in project.studio.predictions(project.tasks["data"])]
    assert len(versions) == 1, "what is predicted is not sent again"


def smart(project: Project, region: Json) -> Json:
    """What the smart tool of Label Studio gets for a region of the first task."""
    context = {"result": [{"to_name": "image", "original_width": 640, "original_height": 480, **region}]}
    path = f"/api/ml/{project.backend}/interactive-annotating"
    document: Json = project.studio.post(path, {"task": project.tasks["annotation"], "context": context})
    assert "errors" not in document, document
    [drawn] = document["data"]["result"]
    return dict(drawn)


def clicked(project: Project, **prompt: Any) -> Mask:
    files = {"image": project.files["annotation"].read_bytes()}
    document = project.service.post("/segment", files=files, data=prompt).json()
    return mask_of(document["masks"][0])


def test_the_smart_tools_draw_what_segment_returns(project: Project) -> None:
    x0, y0, x1, y1 = project.detect("annotation")["detections"][0]["box_xyxy"]
    x, y = round((x0 + x1) / 2), round((y0 + y1) / 2)
    point = {"x": 100 * x / 640, "y": 100 * y / 480, "width": 0.3, "keypointlabels": ["Wrench"]}
    drawn = smart(project, {"from_name": "click", "type": "keypointlabels", "is_positive": True, "value": point})
    assert (drawn["from_name"], drawn["value"]["brushlabels"]) == ("brush", ["Wrench"])
    assert np.array_equal(decode_brushes([drawn])[0], clicked(project, points=f"[[{x}, {y}, 1]]"))
    corners = {"x": 25, "y": 25, "width": 50, "height": 50, "rectanglelabels": ["Wood"]}
    drawn = smart(project, {"from_name": "drag", "type": "rectanglelabels", "value": corners})
    assert drawn["value"]["brushlabels"] == ["Wood"]
    assert np.array_equal(decode_brushes([drawn])[0], clicked(project, box="[160, 120, 480, 360]"))


def test_a_personal_access_token_opens_the_images_too(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    project.studio.post("/api/jwt/settings", {"api_tokens_enabled": True, "legacy_api_tokens_enabled": True})
    token = project.studio.post("/api/token/", {})["token"]
    corners = {"x": 25, "y": 25, "width": 50, "height": 50, "rectanglelabels": ["Wood"]}
    region = {"from_name": "drag", "type": "rectanglelabels", "value": corners}
    with caplog.at_level(logging.DEBUG):
        try:
            project.token_path.write_text(f"{token}\n")
            assert smart(project, region)["value"]["brushlabels"] == ["Wood"]
        finally:
            project.token_path.write_text(TOKEN)
    said = "".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records if record.name == "weaksam")
    assert said
    assert token not in said
    assert TOKEN not in said, "Label Studio sends the creator's token to /setup"


def labelled_samples(folder: Path) -> Path:
    """A labelling run on two samples, each with one square mask and one box."""
    mask_hw = np.zeros((480, 640), np.bool_)
    mask_hw[100:200, 300:420] = True
    images = [{"id": n, "file_name": f"{n} ü.jpg", "height": 480, "width": 640} for n in (1, 2)]
    rows = [
        {
            "id": 2 * image + n,
            "image_id": image,
            "category_id": 1 + n,
            "bbox": [300, 100, 120, 100],
            "score": 0.5,
            **({"segmentation": encode_rle(mask_hw)} if n else {}),
        }
        for image in (1, 2)
        for n in (0, 1)
    ]
    document = {
        "info": {"bundle": {"name": "debris", "version": "6", "digest": "ab" * 32}},
        "images": images,
        "categories": [{"id": 1, "name": "Wood & <tape>"}, {"id": 2, "name": "Wrench"}],
        "annotations": rows,
    }
    folder.mkdir()
    (folder / "dataset.json").write_text(json.dumps(document))
    return folder


def test_what_convert_writes_is_imported(studio: LabelStudio, tmp_path: Path) -> None:
    convert(labelled_samples(tmp_path / "labelled"), "labelstudio", tmp_path / "out", image_url="/data/local-files/?d=")
    config = (tmp_path / "out" / "label_config.xml").read_text()
    number = studio.post("/api/projects", {"title": "Imported", "label_config": config})["id"]
    with (tmp_path / "out" / "tasks.json").open("rb") as file:
        imported = studio.api.post(f"/api/projects/{number}/import", files={"file": ("tasks.json", file)}).json()
    assert (imported["task_count"], imported["prediction_count"]) == (2, 2)
    for task in studio.get(f"/api/tasks?project={number}&fields=all")["tasks"]:
        [prediction] = studio.predictions(task["id"])
        assert prediction["model_version"] == "weaksam debris 6 abababababab"
        box, brush = prediction["result"]
        assert box["value"]["rectanglelabels"] == ["Wood & <tape>"]
        assert box_px(box) == pytest.approx([300, 100, 420, 200])
        mask_hw = decode_brushes([brush])[0]
        assert mask_hw[100:200, 300:420].all()
        assert mask_hw.sum() == 100 * 120


@pytest.mark.parametrize("export_type", ["JSON", "JSON_MIN"])
def test_an_export_holds_the_tags_of_a_folder(project: Project, tmp_path: Path, export_type: str) -> None:
    response = project.studio.api.get(f"/api/projects/{project.id}/export?exportType={export_type}")
    (tmp_path / "export.json").write_bytes(response.content)
    worklist = worklist_from_table(SAMPLES, tmp_path / "export.json")
    image = project.files["annotation"].name
    assert worklist.tags == {image: tuple(project.tags["annotation"])}


@pytest.mark.parametrize("presign", [True, False], ids=["redirected", "passed on"])
def test_an_image_in_a_cloud_storage_comes_through_label_studio(
    studio: LabelStudio, tiny_bundle: Bundle, tmp_path: Path, presign: bool
) -> None:
    config = """<View><Image name="image" value="$image"/><RectangleLabels name="box" toName="image">
    <Label value="rivet"/></RectangleLabels></View>"""
    (tmp_path / "token").write_text(TOKEN)
    with live_server(ImageHost(encoded(TWO_BOLTS_AND_A_NUT)).app()) as bucket_url:
        settings = tiny_settings(
            tiny_bundle.folder,
            label_studio_url=studio.url,
            label_studio_token_file=tmp_path / "token",
            image_hosts=bucket_url.removeprefix("http://") if presign else "",
        )
        with live_server(create_app(settings)) as url:
            wait_until_ready(url)
            number = studio.post("/api/projects", {"title": "Cloud", "label_config": config})["id"]
            storage = {"bucket": "bucket", "aws_access_key_id": "key", "aws_secret_access_key": "secret"}
            options = {"project": number, "s3_endpoint": bucket_url, "region_name": "us-east-1", "presign": presign}
            studio.post("/api/storages/s3", storage | options)
            studio.post(f"/api/projects/{number}/import", [{"image": "s3://bucket/image.png", "tags": "rivet"}])
            studio.post("/api/ml", {"project": number, "url": f"{url}/labelstudio", "title": "tiny"})
            studio.retrieve_predictions(number)
    [task] = studio.get(f"/api/tasks?project={number}&fields=all")["tasks"]
    [prediction] = studio.predictions(task["id"])
    assert [region["value"]["rectanglelabels"] for region in prediction["result"]] == [["rivet"], ["rivet"]]
