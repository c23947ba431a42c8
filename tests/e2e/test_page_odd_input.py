"""The labelling page under what people do besides: folders, pasted text, spellings, a pointer that is taken away."""

from __future__ import annotations

import base64
import csv
import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, FilePayload, Route, expect

from models.bundle import Bundle
from models.bundle_files.manifest import write_manifest
from models.labels import Label, LabelSet
from service.app import create_app
from service.auth.api_keys import ApiKey, KeyFile, key_sha256, new_key, write_key_file
from tests.support.browser.labelling_page import LabellingPage, chromium, labelling_page
from tests.support.bundles.service_parts import TWO_BOLTS_AND_A_NUT, tiny_settings
from tests.support.bundles.tiny_bundle import LABELS, encoded, write_tiny_bundle
from tests.support.servers.live_server import live_server

PICTURE = encoded(TWO_BOLTS_AND_A_NUT)
PASTE = """([selector, text, data]) => {
  const bytes = Uint8Array.from(atob(data), (sign) => sign.charCodeAt(0));
  const clipboardData = new DataTransfer();
  clipboardData.setData("text/plain", text);
  clipboardData.items.add(new File([bytes], "image.png", { type: "image/png" }));
  document.querySelector(selector).dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of this file."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of three labels that knows colours."""
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def tab(browser: Browser, bundle: Bundle) -> Iterator[LabellingPage]:
    with (
        live_server(create_app(tiny_settings(bundle.folder))) as url,
        labelling_page(browser, url) as opened,
    ):
        yield opened


def image(name: str) -> FilePayload:
    return {"name": name, "mimeType": "image/png", "buffer": PICTURE}


def type_tag(tab: LabellingPage, tag: str) -> None:
    tab.page.fill("#tag-input", tag)
    tab.page.press("#tag-input", "Enter")


def test_spellings_of_one_tag_are_one_tag(tab: LabellingPage) -> None:
    tab.add(image("a.png"))
    for tag in ("Red Bolt", "red_bolt", "REDBOLT"):
        type_tag(tab, tag)
    type_tag(tab, "gren-nut")
    expect(tab.page.locator(".tag-row.unknown")).to_have_count(1)
    expect(tab.page.locator(".tag-row")).to_have_count(2)
    assert tab.rows()[0].startswith("red-bolt found: 2 objects")
    type_tag(tab, "green-nut")
    tab.page.locator(".suggestions").get_by_role("button", name="green-nut").click()
    expect(tab.page.locator(".tag-row")).to_have_count(2)
    expect(tab.page.locator(".tag-row.found")).to_have_count(2)


def test_tags_that_are_removed_while_they_are_looked_for_find_nothing(tab: LabellingPage) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    tab.page.route("**/detect", hold)
    tab.add(image("a.png"))
    with tab.page.expect_request("**/detect"):
        type_tag(tab, "red-bolt")
    tab.page.get_by_role("button", name="Remove the tag red-bolt").click()
    held[0].continue_()
    tab.page.wait_for_timeout(1000)
    assert tab.labels() == []
    expect(tab.page.locator("#hint")).to_have_text("Type what is in the image")


def test_empty_masks_are_not_shown(tab: LabellingPage) -> None:
    def with_an_empty_mask(route: Route) -> None:
        response = route.fetch()
        result = response.json()
        size = result["masks"][0]["mask"]["size"]
        empty = {"mask": {"format": "rle", "size": size, "counts": ""}, "box_xyxy": None, "predicted_iou": 0.1}
        route.fulfill(response=response, json=result | {"masks": [result["masks"][0], empty, result["masks"][0]]})

    tab.page.route("**/segment", with_an_empty_mask)
    tab.add(image("a.png"))
    tab.tag("green-nut")
    tab.page.keyboard.press("Escape")
    tab.page.keyboard.press("n")
    tab.click((12, 12))
    expect(tab.page.locator(".object-row")).to_have_count(2)
    tab.page.keyboard.press("m")
    expect(tab.page.locator("#live")).to_have_text("Mask 2 of 2.")
    tab.page.keyboard.press("e")


def test_no_cell_of_the_table_is_a_formula(tab: LabellingPage, tmp_path: Path) -> None:
    tab.add(image("=1+1.png"))
    tab.tag("green-nut")
    tab.page.keyboard.press("Escape")
    tab.page.keyboard.press("n")
    tab.drag([(5, 50), (20, 50)])
    expect(tab.page.locator(".object-row")).to_have_count(2)
    table = zipfile.ZipFile(tab.saved("png", tmp_path)).read("masks.csv").decode()
    found, drawn = csv.DictReader(io.StringIO(table))
    assert (found["image"], drawn["image"]) == ("./=1+1.png", "./=1+1.png")
    assert float(found["score"]) > 0.8
    assert drawn["score"] == "", "a person gives no score"


def test_a_stroke_that_is_taken_away_is_not_drawn_later(tab: LabellingPage, tmp_path: Path) -> None:
    tab.add(image("a.png"))
    tab.tag("green-nut")
    tab.page.keyboard.press("Escape")
    tab.page.keyboard.press("n")
    tab.page.mouse.move(*tab.window_point((5, 5)))
    tab.page.mouse.down()
    tab.page.mouse.move(*tab.window_point((10, 5)), steps=4)
    tab.page.evaluate(
        "document.getElementById('canvas').dispatchEvent(new PointerEvent('pointercancel', { pointerId: 1 }))"
    )
    tab.page.mouse.up()
    tab.drag([(5, 50), (20, 50)])
    expect(tab.page.locator(".object-row")).to_have_count(2)
    _, y, _, height = tab.dataset(tmp_path)["annotations"][1]["bbox"]
    assert y > 40
    assert height < 20


def test_the_images_of_a_dropped_folder_are_added(tab: LabellingPage, tmp_path: Path) -> None:
    (tmp_path / "photos" / "day 2").mkdir(parents=True)
    for name in ("b.png", "a.png", "day 2/c.png", ".hidden.png"):
        (tmp_path / "photos" / name).write_bytes(PICTURE)
    (tmp_path / "photos" / "tags.csv").write_text("file,tags\n")
    (tmp_path / "single.png").write_bytes(PICTURE)
    drop(tab, tmp_path / "single.png", tmp_path / "photos")
    expect(tab.page.locator(".image-name")).to_have_text(["1. single.png", "2. a.png", "3. b.png", "4. c.png"])


def test_a_dropped_folder_without_images_is_told(tab: LabellingPage, tmp_path: Path) -> None:
    drop(tab, tmp_path)
    expect(tab.page.get_by_role("alert")).to_contain_text("There is no image")


def drop(tab: LabellingPage, *paths: Path) -> None:
    """Drop files and folders on the page, as from a file manager."""
    session = tab.page.context.new_cdp_session(tab.page)
    data = {"items": [], "files": list(map(str, paths)), "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 600, "y": 400, "data": data})


def test_text_that_is_pasted_with_a_picture_is_text(tab: LabellingPage) -> None:
    tab.add(image("a.png"))
    content = base64.b64encode(PICTURE).decode()
    tab.page.evaluate(PASTE, ["#tag-input", "red-bolt", content])
    expect(tab.page.locator("#images")).to_be_hidden()
    tab.page.evaluate(PASTE, ["body", "red-bolt", content])
    expect(tab.page.locator(".image-entry")).to_have_count(2)


def test_another_bundle_brings_its_labels(browser: Browser, tmp_path: Path) -> None:
    link, key, keys = tmp_path / "current", new_key(), tmp_path / "keys.json"
    other = LabelSet((Label("hex-bolt"), Label("green-nut"), Label("blue-wrench")))
    for version, labels in (("1", LABELS), ("2", other)):
        (tmp_path / version).mkdir()
        write_manifest(replace(write_tiny_bundle(tmp_path / version, labels=labels), version=version))
    link.symlink_to(tmp_path / "1")
    write_key_file(keys, KeyFile(keys=(ApiKey(name="admin", sha256=key_sha256(key), admin=True),)))
    with (
        live_server(create_app(tiny_settings(link, api_keys_file=keys))) as url,
        labelling_page(browser, url) as tab,
    ):
        tab.page.evaluate("key => sessionStorage.setItem('weaksam-api-key', key)", key)
        tab.page.reload()
        tab.add(image("a.png"), image("b.png"))
        tab.tag("red-bolt")
        link.unlink()
        link.symlink_to(tmp_path / "2")
        assert httpx.post(f"{url}/admin/reload", headers={"Authorization": f"Bearer {key}"}).status_code == 200
        tab.page.locator(".image-entry").nth(1).click()
        tab.tag("hex-bolt")
        expect(tab.page.locator("#new-label option")).to_have_text(["hex-bolt", "green-nut", "blue-wrench"])
        assert tab.page.locator("#label-names option").first.get_attribute("value") == "hex-bolt"
        dataset = tab.dataset(tmp_path)
    names = {row["id"]: row["name"] for row in dataset["categories"]}
    found = {row["image_id"]: names[row["category_id"]] for row in dataset["annotations"]}
    assert found == {1: "red-bolt", 2: "hex-bolt"}


def test_nothing_is_drawn_before_there_are_labels(browser: Browser, bundle: Bundle) -> None:
    with (
        live_server(create_app(tiny_settings(bundle.folder))) as url,
        labelling_page(browser, url) as tab,
    ):
        tab.page.route("**/labels", lambda route: route.abort())
        tab.page.reload()
        expect(tab.page.get_by_role("alert")).to_contain_text("The service does not respond")
        tab.add(image("a.png"))
        tab.page.keyboard.press("a")
        box = tab.page.locator("#canvas").bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        tab.page.mouse.move(x, y)
        tab.page.mouse.down()
        tab.page.mouse.move(x + 60, y, steps=4)
        tab.page.mouse.up()
        expect(tab.page.locator("#hint")).to_have_text("There are no labels yet: the service has not named them")
        assert tab.labels() == []


def test_a_problem_names_its_image_and_goes_with_it(tab: LabellingPage) -> None:
    damaged: FilePayload = {"name": "damaged.png", "mimeType": "image/png", "buffer": PICTURE[:60]}
    tab.add(image("whole.png"), damaged)
    tab.page.keyboard.press("]")
    expect(tab.page.locator(".problem strong")).to_have_text("damaged.png: The browser cannot show this image")
    tab.page.keyboard.press("[")
    expect(tab.page.locator(".problem")).to_have_count(0)


def test_where_nothing_is_found_the_hint_tells_how_to_draw(tab: LabellingPage) -> None:
    tab.add(image("whole.png"))
    tab.tag("blue-wrench")
    expect(tab.page.locator("#hint")).to_have_text("There is no object. Add or Box draws one")
