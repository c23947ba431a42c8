"""Clicks whose masks are still on their way, in a real Chromium: nothing that was clicked is lost or goes astray."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.sync_api import Page, Route, expect

from tests.support.browser.labelling_page import LabellingPage, chromium, labelling_page
from tests.support.fakes.fake_service import HEIGHT_PX, WIDTH_PX, FakeService, fake_app
from tests.support.servers.live_server import live_server
from tests.support.servers.review_server import review_server, write_labelled
from weaksam.formats.run_lengths import decode_rle, encode_rle
from weaksam.mask_schemas import RleMask

IMAGES = 3
OBJECTS = 2  # in each image
LEFT_PX = 10  # what is left of it lies in no mask


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[LabellingPage]:
    """A review whose first image is shown."""
    write_labelled(tmp_path, {f"{number}.png": ["Bolt", "Nut"] for number in range(IMAGES)})
    with (
        live_server(fake_app(FakeService())) as service,
        review_server(tmp_path, "--server", service) as server,
        chromium() as browser,
        labelling_page(browser, server.url) as opened,
    ):
        opened.page.locator('[data-decision="accepted"][aria-disabled="false"]').wait_for()
        yield opened


@pytest.fixture
def held(tab: LabellingPage) -> list[Route]:
    """Requests for masks, in order. They wait until a test responds."""
    routes: list[Route] = []

    def hold(route: Route) -> None:  # Playwright takes no built-in method, such as `routes.append`
        routes.append(route)

    tab.page.route("**/segment", hold)
    return routes


def wait_for_request(page: Page, held: list[Route], number: int) -> None:
    for _ in range(1000):
        if len(held) > number:
            return
        page.wait_for_timeout(20)
    pytest.fail(f"{len(held)} masks were asked for")


def respond(page: Page, held: list[Route], number: int) -> None:
    mask_hw = np.zeros((HEIGHT_PX, WIDTH_PX), bool)
    mask_hw[:, LEFT_PX:] = True
    mask = {"mask": encode_rle(mask_hw), "box_xyxy": [LEFT_PX, 0, WIDTH_PX, HEIGHT_PX], "predicted_iou": 0.9}
    image = {"width": WIDTH_PX, "height": HEIGHT_PX, "sha256": "0" * 64}
    wait_for_request(page, held, number)
    held[number].fulfill(json={"image": image, "masks": [mask]})


def begin_object(tab: LabellingPage) -> None:
    tab.page.keyboard.press("n")
    tab.page.mouse.click(*tab.window_point((WIDTH_PX / 2, HEIGHT_PX / 2)))


def entry(tab: LabellingPage) -> dict[str, Any]:
    """The first image, as the server knows it."""
    name = tab.page.locator(".image-name").first.inner_text().partition(". ")[2]
    entries = [httpx.get(f"{tab.url}/review/images/{number + 1}").json() for number in range(IMAGES)]
    [found] = [found for found in entries if found["file_name"] == name]
    return dict(found)


def test_a_decision_waits_for_the_mask_of_the_last_click(tab: LabellingPage, held: list[Route]) -> None:
    begin_object(tab)
    tab.page.keyboard.press("1")
    tab.page.wait_for_timeout(500)
    assert entry(tab)["state"] == "open"
    respond(tab.page, held, 0)
    expect(tab.page.locator("#review .quiet")).to_contain_text(f"1 of {IMAGES} reviewed")
    decided = entry(tab)
    assert (decided["state"], len(decided["objects"])) == ("corrected", OBJECTS + 1)


def test_nothing_is_decided_if_the_last_click_was_refused(tab: LabellingPage, held: list[Route]) -> None:
    begin_object(tab)
    tab.page.keyboard.press("1")
    wait_for_request(tab.page, held, 0)
    held[0].abort()
    expect(tab.page.locator(".problem")).to_contain_text("The service does not respond")
    assert entry(tab)["state"] == "open"
    tab.page.keyboard.press("1")
    expect(tab.page.locator("#review .quiet")).to_contain_text(f"1 of {IMAGES} reviewed")
    assert entry(tab)["state"] == "accepted"


def test_a_mask_that_comes_late_belongs_to_the_image_of_its_click(tab: LabellingPage, held: list[Route]) -> None:
    canvas = tab.page.locator("#canvas")
    begin_object(tab)
    tab.page.mouse.click(*tab.window_point((WIDTH_PX / 2 + 1, HEIGHT_PX / 2)))
    tab.page.keyboard.press("]")
    expect(canvas).to_have_attribute("aria-label", f"1.png, {WIDTH_PX} by {HEIGHT_PX} pixels, {OBJECTS} objects")
    tab.page.keyboard.press("j")
    selected = tab.page.locator('.object-row .pick[aria-pressed="true"]')
    expect(selected).to_have_count(1)
    respond(tab.page, held, 0)
    respond(tab.page, held, 1)
    expect(tab.page.locator("#images button").first).to_contain_text(f"{OBJECTS + 1} objects")
    expect(selected).to_have_count(1)
    assert f", {OBJECTS} objects" in (canvas.get_attribute("aria-label") or "")
    tab.page.keyboard.press("[")
    expect(canvas).to_have_attribute("aria-label", f"0.png, {WIDTH_PX} by {HEIGHT_PX} pixels, {OBJECTS + 1} objects")


def test_a_label_that_was_chosen_meanwhile_stays(tab: LabellingPage, held: list[Route]) -> None:
    begin_object(tab)
    respond(tab.page, held, 0)
    label = tab.page.locator(".object-row select").last
    expect(tab.page.locator(".object-row")).to_have_count(OBJECTS + 1)
    tab.page.mouse.click(*tab.window_point((WIDTH_PX / 2 + 1, HEIGHT_PX / 2)))
    label.select_option("Wrench")
    respond(tab.page, held, 1)
    expect(tab.page.locator("#live")).to_contain_text("mask corrected")
    expect(label).to_have_value("Wrench")


def test_what_was_painted_meanwhile_stays(tab: LabellingPage, held: list[Route]) -> None:
    begin_object(tab)
    tab.drag([(2.0, 2.0), (2.0, HEIGHT_PX - 2.0)])
    respond(tab.page, held, 0)
    expect(tab.page.locator("#canvas")).to_have_attribute(
        "aria-label", f"0.png, {WIDTH_PX} by {HEIGHT_PX} pixels, {OBJECTS + 1} objects"
    )
    tab.page.keyboard.press("1")
    expect(tab.page.locator("#review .quiet")).to_contain_text(f"1 of {IMAGES} reviewed")
    mask = entry(tab)["objects"][-1]["mask"]
    assert decode_rle(RleMask.model_validate(mask).rle())[HEIGHT_PX - 3, 2], "painted down to there"


def test_an_object_that_was_deleted_meanwhile_stays_away(tab: LabellingPage, held: list[Route]) -> None:
    objects = tab.page.locator(".object-row")
    begin_object(tab)
    respond(tab.page, held, 0)
    expect(objects).to_have_count(OBJECTS + 1)
    for shift_px in (1, 2):
        tab.page.mouse.click(*tab.window_point((WIDTH_PX / 2 + shift_px, HEIGHT_PX / 2)))
    tab.page.keyboard.press("Delete")
    expect(objects).to_have_count(OBJECTS)
    respond(tab.page, held, 1)
    tab.page.keyboard.press("1")
    expect(tab.page.locator("#review .quiet")).to_contain_text(f"1 of {IMAGES} reviewed")
    assert (len(held), len(entry(tab)["objects"])) == (2, OBJECTS)
