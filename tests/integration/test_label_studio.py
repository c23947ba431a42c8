"""A real Label Studio with this service as its ML backend."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest

from models.bundle import DEFAULT_BUNDLE
from models.masks import decode_rle
from service.app import create_app
from service.auth.api_keys import ApiKey, KeyFile, key_sha256, new_key, write_key_file
from service.settings import load_settings
from tests.support.label_studio import TOKEN, LabelStudio, decode_brushes, label_studio
from tests.support.live_server import live_server
from weaksam.formats.polygons import mask_iou, polygons_to_mask

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
LABELS = ("Battery", "LuggageTag", "Wrench", "Screwdriver", "Wood", "adjustable wrench", "Nut", "Screw", "Airplane")
CHOICES = "".join(f'<Choice value="{name}"/>' for name in LABELS)
REGIONS = "".join(f'<Label value="{name}"/>' for name in LABELS)
CONFIG = f"""
<View>
  <Image name="image" value="$image"/>
  <Choices name="tags" toName="image" choice="multiple">{CHOICES}</Choices>
  <BrushLabels name="brush" toName="image">{REGIONS}</BrushLabels>
  <RectangleLabels name="box" toName="image">{REGIONS}</RectangleLabels>
  <PolygonLabels name="outline" toName="image">{REGIONS}</PolygonLabels>
  <KeyPointLabels name="click" toName="image" smart="true">{REGIONS}</KeyPointLabels>
  <RectangleLabels name="drag" toName="image" smart="true">{REGIONS}</RectangleLabels>
</View>
"""
PLACES = ("annotation", "prediction", "data")
Json = dict[str, Any]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Project:
    """A project whose three tasks have choices, each in another place, and which has been predicted.

    Attributes:
        tasks: id of the task of each place.
        tags: of these tasks.
        files: their images.
        service: a client of the service, with its API key.
        token_path: the file that the service reads Label Studio's token from.
        backend: id of the connection in Label Studio.
    """

    studio: LabelStudio
    id: int
    tasks: dict[str, int]
    tags: dict[str, list[str]]
    files: dict[str, Path]
    service: httpx.Client
    token_path: Path
    backend: int

    def prediction(self, place: str) -> Json:
        """The latest prediction of a task."""
        return self.studio.predictions(self.tasks[place])[-1]

    def detect(self, place: str) -> Json:
        """What `POST /detect` returns for the same image and tags."""
        data = {"tags": self.tags[place], "unknown_tags": "skip"}
        response = self.service.post("/detect", files={"image": self.files[place].read_bytes()}, data=data)
        document: Json = response.json()
        return document


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudio]:
    with label_studio(tmp_path_factory.mktemp("label_studio")) as running:
        yield running


@pytest.fixture(scope="module")
def project(studio: LabelStudio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("service")
    key, token_path = new_key(), folder / "token"
    write_key_file(folder / "keys.json", KeyFile(keys=(ApiKey(name="tool", sha256=key_sha256(key)),)))
    token_path.write_text(TOKEN)
    settings = load_settings(
        bundle=DEFAULT_BUNDLE,
        api_keys_file=folder / "keys.json",
        label_studio_url=studio.url,
        label_studio_token_file=token_path,
    )
    with (
        live_server(create_app(settings)) as url,
        httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=120) as service,
    ):
        wait_until_ready(service)
        made = make_project(studio)
        connection = {
            "project": made["id"],
            "url": f"{url}/labelstudio",
            "title": "weaksam",
            "is_interactive": True,
            "auth_method": "BASIC_AUTH",
            "basic_auth_user": "label-studio",
            "basic_auth_pass": key,
        }
        backend = studio.post("/api/ml", connection)["id"]
        studio.retrieve_predictions(made["id"])
        yield Project(studio, **made, service=service, token_path=token_path, backend=backend)


def wait_until_ready(service: httpx.Client) -> None:
    while service.get("/readyz").status_code != 200:
        pass


def make_project(studio: LabelStudio) -> Json:
    """Make a project of the first three samples with their tags as choices; returns fields of `Project`."""
    number = studio.post("/api/projects", {"title": "Runway", "label_config": CONFIG})["id"]
    made: Json = {"id": number, "tasks": {}, "tags": {}, "files": {}}
    with (SAMPLES / "tags.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for place, row in zip(PLACES, rows, strict=False):
        tags = [tag.replace("AdjustableWrench", "adjustable wrench") for tag in row["tags"].split(";")]
        path = SAMPLES / row["file"]
        task = task_with(place, {"image": studio.upload(number, path)}, tags)
        studio.post(f"/api/projects/{number}/import", [task])
        made["tags"][place], made["files"][place] = tags, path
    listed = studio.get(f"/api/tasks?project={number}&fields=all")["tasks"]
    made["tasks"] = {place: task["id"] for place, task in zip(PLACES, sorted(listed, key=by_id), strict=True)}
    return made


def task_with(place: str, data: Json, tags: list[str]) -> Json:
    choices = [{"from_name": "tags", "to_name": "image", "type": "choices", "value": {"choices": tags}}]
    if place == "annotation":
        return {"data": data, "annotations": [{"result": choices}]}
    if place == "prediction":
        return {"data": data, "predictions": [{"model_version": "another model", "result": choices}]}
    return {"data": {**data, "tags": ", ".join(tags)}}


def by_id(row: Json) -> int:
    return int(row["id"])


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
