"""Thirty labelled scenes reviewed in a real Chromium, by keyboard, with a server that is killed half way."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from service.app import create_app
from service.settings import load_settings
from tests.support.browser.labelling_page import chromium, labelling_page
from tests.support.servers.free_port import free_port
from tests.support.servers.live_server import live_server
from tests.support.servers.review_server import review_server
from training.data.formats.coco import read_coco
from training.scenes.generate import generate_scenes
from weaksam.labelling.outputs import Outcome, write_files
from weaksam.schemas import DetectResult

SCENES, KILLED_AT = 30, 15
DELETED_AT, CLICKED_AT = 5, 20
SIZE_HW = (120, 160)
BUNDLE = {"name": "truth", "version": "1", "digest": "d" * 64}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes with a labelling run that found all their true objects."""
    folder = tmp_path_factory.mktemp("review")
    for _ in generate_scenes(folder / "scenes", SCENES, 3, SIZE_HW, {"train": 1.0}):
        pass
    scenes = read_coco(folder / "scenes", "train")
    results = {image.path.name: true_result(image) for image in scenes.images}
    (folder / "labelled").mkdir()
    bundle = next(iter(results.values())).bundle
    outcome = Outcome(scenes.labels, bundle, {}, sorted(results), frozenset(results), (), results.__getitem__)
    write_files(outcome, folder / "labelled")
    (folder / "photos").symlink_to(folder / "scenes" / "JPEGImages")
    return folder


def true_result(image: Any) -> DetectResult:
    detections = [
        {
            "id": str(number), "label": thing.label, "score": 0.9 - 0.02 * number, "box_xyxy": thing.box_xyxy,
            "mask": thing.mask_rle, "mask_score": 0.9, "source": "detector",
        }
        for number, thing in enumerate(image.objects)
    ]  # fmt: skip
    rows = [
        {
            "tag": tag, "label": tag, "status": "found", "predicted": False, "count": 1, "stage": None,
            "best_score": 0.9, "nearest": [],
        }
        for tag in image.tags
    ]  # fmt: skip
    height, width = image.size_hw
    shown = {"width": width, "height": height, "sha256": "0" * 64}
    return DetectResult.model_validate(
        {"image": shown, "detections": detections, "tags": rows, "timing_ms": {}, "bundle": BUNDLE}
    )


def shown_name(page: Page) -> str:
    name: str = page.locator('#images [aria-current="true"] .image-name').inner_text()
    return name.partition(". ")[2]


def wait_until_reviewed(page: Page, count: int) -> None:
    words = f"All {SCENES} images are reviewed" if count == SCENES else f"{count} of {SCENES} reviewed"
    page.locator("#review .quiet", has_text=words).wait_for()
    if count < SCENES:
        page.locator('[data-decision="accepted"][aria-pressed="false"][aria-disabled="false"]').wait_for()


def delete_first_object(page: Page) -> None:
    page.keyboard.press("j")
    page.keyboard.press("Delete")
    page.locator("#live", has_text="deleted").wait_for(state="attached")


def click_in_the_middle(page: Page) -> None:
    """Correct the mask of the first object by a click, made by keyboard."""
    page.keyboard.press("j")
    page.keyboard.press("a")
    page.keyboard.press("c")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.locator("#live", has_text="mask corrected").wait_for(state="attached")


def annotations_of(path: Path) -> dict[str, list[Any]]:
    document = json.loads(path.read_text(encoding="utf-8"))
    names = {row["id"]: row["file_name"] for row in document["images"]}
    found: dict[str, list[Any]] = {name: [] for name in names.values()}
    for row in document["annotations"]:
        found[names[row["image_id"]]].append((row["category_id"], row["bbox"], row["area"], row["segmentation"]))
    return found


def test_thirty_scenes_are_reviewed_by_keyboard_across_a_kill(folder: Path) -> None:
    port = str(free_port())
    settings = load_settings()
    seen: list[str] = []
    with ExitStack() as stack:
        service = stack.enter_context(live_server(create_app(settings)))
        first = stack.enter_context(review_server(folder, "--port", port, "--server", service))
        page = stack.enter_context(labelling_page(stack.enter_context(chromium()), first.url)).page
        wait_until_reviewed(page, 0)
        assert page.locator("#images button").nth(1).inner_text().endswith("to review")
        assert [row["id"] for row in Axe().run(page).response["violations"]] == []
        for count in range(SCENES):
            wait_until_reviewed(page, count)
            seen.append(shown_name(page))
            if count == KILLED_AT:
                first.process.kill()
                first.process.wait()
                page.keyboard.press("1")
                page.locator(".problem", has_text="does not respond").wait_for()
                stack.enter_context(review_server(folder, "--port", port, "--server", service))
            if count == DELETED_AT:
                delete_first_object(page)
                page.keyboard.press("2")
            elif count == CLICKED_AT:
                click_in_the_middle(page)
                page.keyboard.press("1")
            else:
                page.keyboard.press("1")
        wait_until_reviewed(page, SCENES)
        assert page.locator('[data-focus="everywhere"]').count() == 0, "it would change images that nobody looks at"

    assert len(set(seen)) == SCENES
    document = json.loads((folder / "reviewed/annotations/instances_train.json").read_text(encoding="utf-8"))
    states = {row["file_name"]: row["review_state"] for row in document["images"]}
    corrected = {seen[DELETED_AT], seen[CLICKED_AT]}
    assert states == {name: "corrected" if name in corrected else "accepted" for name in seen}
    assert all(row["confirmed"] for row in document["images"])
    found = annotations_of(folder / "labelled/dataset.json")
    reviewed = annotations_of(folder / "reviewed/annotations/instances_train.json")
    assert {name: reviewed[name] for name in seen if name not in corrected} == {
        name: found[name] for name in seen if name not in corrected
    }
    assert reviewed[seen[DELETED_AT]] == found[seen[DELETED_AT]][1:]
    before, after = found[seen[CLICKED_AT]], reviewed[seen[CLICKED_AT]]
    assert after[1:] == before[1:]
    assert after[0][0] == before[0][0]
    assert after[0][3] != before[0][3]
