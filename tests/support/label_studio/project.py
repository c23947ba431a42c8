"""A project in a real Label Studio that this service has predicted."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from models.bundle import DEFAULT_BUNDLE
from service.app import create_app
from service.auth.api_keys import ApiKey, KeyFile, key_sha256, new_key, write_key_file
from service.settings import load_settings
from tests.support.label_studio.server import TOKEN, LabelStudio
from tests.support.servers.live_server import live_server

SAMPLES = Path(__file__).resolve().parents[3] / "samples"
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


@contextmanager
def predicted_project(studio: LabelStudio, folder: Path, config: str = CONFIG) -> Iterator[Project]:
    """Serve the default bundle, make a project, connect it and retrieve its predictions.

    Args:
        folder: for the service's keys and token.
        config: the labelling interface.
    """
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
        wait_until_ready(url)
        made = make_project(studio, config)
        backend = studio.post("/api/ml", connection(made["id"], f"{url}/labelstudio", key))["id"]
        studio.retrieve_predictions(made["id"])
        yield Project(studio, **made, service=service, token_path=token_path, backend=backend)


def connection(project: int, url: str, key: str) -> Json:
    return {
        "project": project,
        "url": url,
        "title": "weaksam",
        "is_interactive": True,
        "auth_method": "BASIC_AUTH",
        "basic_auth_user": "label-studio",
        "basic_auth_pass": key,
    }


def wait_until_ready(url: str) -> None:
    """Return as soon as the service at an address has passed its warm-up."""
    while httpx.get(f"{url}/readyz").status_code != 200:
        time.sleep(0.05)


def make_project(studio: LabelStudio, config: str) -> Json:
    """Make a project of the first three samples with their tags as choices; returns fields of `Project`."""
    number = studio.post("/api/projects", {"title": "Runway", "label_config": config})["id"]
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
