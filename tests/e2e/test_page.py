"""The labelling page in a real Chromium, on the default bundle over a socket."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from playwright.sync_api import Browser, FilePayload, expect
from pycocotools.coco import COCO

from service.app import create_app
from service.auth.api_keys import ApiKey, KeyFile, key_sha256, new_key, write_key_file
from service.settings import load_settings
from tests.support.browser.labelling_page import LabellingPage, labelling_page
from tests.support.servers.live_server import live_server
from training.scenes.paste_objects import SceneImage
from training.scenes.scene import draw_scene
from weaksam.arrays import Mask
from weaksam.formats.polygons import mask_iou
from weaksam.formats.run_lengths import decode_rle

# A scene of which a bolt gets a mask of about half of it.
SCENE_SEED, SCENE_LABEL = 47, "Bolt"


@pytest.fixture
def tab(browser: Browser, url: str) -> Iterator[LabellingPage]:
    with labelling_page(browser, url) as opened:
        yield opened


@pytest.fixture
def samples(repository_dir: Path) -> Path:
    return repository_dir / "samples"


@pytest.fixture(scope="module")
def scene() -> SceneImage:
    return draw_scene(np.random.default_rng(SCENE_SEED), (480, 640))


def png_file(image_hwc_u8: npt.NDArray[np.uint8]) -> FilePayload:
    buffer = io.BytesIO()
    Image.fromarray(image_hwc_u8).save(buffer, "PNG")
    return {"name": "scene.png", "mimeType": "image/png", "buffer": buffer.getvalue()}


def masks_of(dataset: dict[str, Any]) -> list[Mask]:
    return [decode_rle(row["segmentation"]).astype(bool) for row in dataset["annotations"]]


def worst_place(truth_hw: Mask, mask_hw: Mask) -> tuple[tuple[float, float], bool]:
    """Return the middle of the largest error, as a person would click it, and whether it lies off the object."""
    depths = [_depth(truth_hw & ~mask_hw), _depth(mask_hw & ~truth_hw)]
    off = bool(depths[1].max() > depths[0].max())
    y, x = np.unravel_index(depths[off].argmax(), truth_hw.shape)
    return (float(x) + 0.5, float(y) + 0.5), off


def _depth(region_hw: Mask) -> npt.NDArray[np.float32]:
    padded = np.pad(region_hw.astype(np.uint8), 1)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 5), np.float32)[1:-1, 1:-1]


def test_an_image_that_is_dropped_and_tagged_gets_masks_and_words(tab: LabellingPage, samples: Path) -> None:
    data = base64.b64encode((samples / "taxiway.jpg").read_bytes()).decode()
    tab.page.evaluate(
        """data => {
          const bytes = Uint8Array.from(atob(data), (sign) => sign.charCodeAt(0));
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([bytes], "taxiway.jpg", { type: "image/jpeg" }));
          document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
        }""",
        data,
    )
    expect(tab.page.locator("#tag-input")).to_be_visible()
    tab.tag("tape", "wrench")
    found, lost = tab.rows()
    assert found.startswith("Tape found: 1 object, best score 0.")
    assert lost == "Wrench not found: the classifier sees no wrench"
    assert tab.labels() == ["Tape"]
    expect(tab.page.locator("#live")).to_have_text("1 object found. Not found: wrench.")
    assert tab.page.locator("#canvas").get_attribute("aria-label") == "taxiway.jpg, 640 by 480 pixels, 1 object"


def test_an_unknown_tag_offers_the_nearest_labels(tab: LabellingPage, samples: Path) -> None:
    names = {option.get_attribute("value") for option in tab.page.locator("#label-names option").all()}
    assert {"Wrench", "Tape"} <= names, "the list completes what is typed"
    tab.add(samples / "taxiway.jpg")
    tab.tag("taep")
    assert tab.rows() == ["taep no such label. Did you mean one of these?"]
    tab.page.get_by_role("button", name="Tape", exact=True).click()
    expect(tab.page.locator(".tag-row.found")).to_have_count(1)


def test_explain_shows_a_heat_map_over_the_thing(tab: LabellingPage, samples: Path, tmp_path: Path) -> None:
    tab.add(samples / "taxiway.jpg")
    tab.tag("tape")
    x0, y0, width, height = tab.dataset(tmp_path)["annotations"][0]["bbox"]
    inside, beside = (x0 + width / 2, y0 + height / 2), (600.0, 20.0)
    tab.page.keyboard.press("Escape")
    tab.page.keyboard.press("x")  # without the masks
    before = canvas_pixels(tab)
    tab.page.get_by_role("button", name="Heat map: Tape").click()
    expect(tab.page.locator("#live")).to_have_text("The evidence is shown on the image.")
    tab.page.wait_for_timeout(500)
    change = np.abs(canvas_pixels(tab) - before).sum(axis=-1)
    assert near(change, tab, inside) > 3 * near(change, tab, beside)
    for name in ("Peaks", "Prompts", "Proposals kept", "Proposals dropped"):
        tab.page.get_by_role("checkbox", name=name).check()
        count = tab.page.get_by_text(f"{name} (").inner_text().split("(")[1].split(")")[0]
        assert int(count) > 0


def canvas_pixels(tab: LabellingPage) -> npt.NDArray[np.float64]:
    return np.asarray(Image.open(io.BytesIO(tab.page.locator("#canvas").screenshot())).convert("RGB"), np.float64)


def near(change_hw: npt.NDArray[np.float64], tab: LabellingPage, point_xy_px: tuple[float, float]) -> float:
    box = tab.page.locator("#canvas").bounding_box()
    assert box is not None
    x, y = tab.window_point(point_xy_px)
    column, row = int(x - box["x"]), int(y - box["y"])
    return float(change_hw[row - 8 : row + 8, column - 8 : column + 8].mean())


def test_three_clicks_correct_a_mask(tab: LabellingPage, scene: SceneImage, tmp_path: Path) -> None:
    tab.add(png_file(scene.image_hwc_u8))
    tab.tag(SCENE_LABEL)
    masks = masks_of(tab.dataset(tmp_path))
    best = [max(scene.masks, key=lambda truth: mask_iou(truth, mask)) for mask in masks]
    index = min(range(len(masks)), key=lambda i: abs(mask_iou(best[i], masks[i]) - 0.55))
    truth, started = best[index], mask_iou(best[index], masks[index])
    tab.select(index)
    tab.page.keyboard.press("a")
    for _ in range(3):
        point_xy_px, off = worst_place(truth, masks_of(tab.dataset(tmp_path))[index])
        tab.click(point_xy_px, off=off)
    dataset = tab.dataset(tmp_path)
    corrected = mask_iou(truth, masks_of(dataset)[index])
    assert started < 0.75
    assert corrected > started + 0.15
    assert [row["corrected"] for row in dataset["annotations"]] == [i == index for i in range(len(masks))]
    for _ in range(3):
        tab.page.keyboard.press("Control+z")
    assert mask_iou(truth, masks_of(tab.dataset(tmp_path))[index]) == started


def test_one_key_enlarges_the_selected_object(tab: LabellingPage, samples: Path, tmp_path: Path) -> None:
    tab.add(samples / "taxiway.jpg")
    tab.tag("tape")
    [row] = tab.dataset(tmp_path)["annotations"]
    x, y, width, height = row["bbox"]
    tab.select(0)
    tab.page.keyboard.press("e")
    tab.page.keyboard.press("a")
    canvas = tab.page.locator("#canvas").bounding_box()
    assert canvas is not None
    with tab.page.expect_request(re.compile("/segment$")) as asked, tab.page.expect_response(re.compile("/segment$")):
        tab.page.mouse.click(canvas["x"] + canvas["width"] / 2, canvas["y"] + canvas["height"] / 2)
    [point] = re.findall(rb"\[\[([\d.]+),([\d.]+),1\]\]", asked.value.post_data_buffer or b"")
    assert [*map(float, point)] == pytest.approx([x + width / 2, y + height / 2], abs=1)


def test_a_click_on_another_thing_leaves_the_object_as_it_is(tab: LabellingPage, samples: Path, tmp_path: Path) -> None:
    tab.add(samples / "taxiway.jpg")
    tab.tag("adjustable clamp", "paint chip", "tape")
    before = masks_of(tab.dataset(tmp_path))
    index = min(range(len(before)), key=lambda i: before[i].sum())  # the clamp is much smaller than the chip
    assert not before[index][430, 290]
    tab.select(index)
    tab.page.keyboard.press("a")
    tab.click((290, 430))
    after = masks_of(tab.dataset(tmp_path))
    assert not (before[index] & ~after[index]).any(), "a click that adds takes nothing away"
    assert all(np.array_equal(before[i], after[i]) for i in range(len(before)) if i != index)
    expect(tab.page.locator("#hint")).to_contain_text("no part of it")


def test_what_is_saved_as_coco_loads_in_pycocotools(tab: LabellingPage, samples: Path, tmp_path: Path) -> None:
    tab.add(samples / "taxiway.jpg", samples / "runway.jpg")
    tab.tag("tape")
    tab.page.get_by_role("button", name="Use these tags on all 2 images").click()
    expect(tab.page.locator(".image-entry.ready")).to_have_count(2)
    path = tab.saved("coco", tmp_path)
    coco = COCO(path)
    assert [row["file_name"] for row in coco.loadImgs(coco.getImgIds())] == ["taxiway.jpg", "runway.jpg"]
    (tape,) = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert coco.loadCats([tape["category_id"]])[0]["name"] == "Tape"
    assert coco.annToMask(tape).sum() == tape["area"]
    assert json.loads(path.read_bytes())["info"]["bundle"]["name"] == "weaksam-debris"


def test_everything_by_keyboard(tab: LabellingPage, samples: Path) -> None:
    press = tab.page.keyboard.press
    tab.add(samples / "taxiway.jpg")
    press("t")
    tab.page.keyboard.type("tape\npaint chip\n")
    expect(tab.page.locator(".object-row")).to_have_count(2)
    press("Escape")
    press("j")
    expect(tab.page.locator(".object-row.selected")).to_have_count(1)
    press("l")
    tab.page.keyboard.type("Wrench")
    press("Escape")
    assert "Wrench" in tab.labels()
    press("Delete")
    expect(tab.page.locator(".object-row")).to_have_count(1)
    press("Control+z")
    press("Control+z")
    assert sorted(tab.labels()) == ["PaintChip", "Tape"]
    press("Control+Shift+z")
    assert "Wrench" in tab.labels()
    press("n")
    press("c")
    press("ArrowRight")
    with tab.page.expect_response("**/segment"):
        press("Enter")
    expect(tab.page.locator(".object-row")).to_have_count(3)
    press("?")
    expect(tab.page.get_by_role("dialog", name="Keys")).to_be_visible()
    press("Escape")
    press("s")
    expect(tab.page.get_by_role("dialog", name="Save labels")).to_be_visible()


def test_a_box_and_a_brush_make_objects_and_deleted_ones_stay_away(tab: LabellingPage, samples: Path) -> None:
    tab.add(samples / "taxiway.jpg")
    tab.tag("tape")
    tab.page.keyboard.press("Escape")
    tab.page.keyboard.press("b")
    with tab.page.expect_response("**/segment"):
        tab.drag([(190, 385), (365, 478)])
    expect(tab.page.locator(".object-row")).to_have_count(2)
    tab.page.get_by_role("button", name="Add an object").click()
    tab.page.keyboard.press("a")
    tab.page.keyboard.press("Escape")
    tab.drag([(500, 60), (560, 90)])
    expect(tab.page.locator(".object-row")).to_have_count(3)
    tab.page.get_by_role("button", name="Delete Tape, object 1").click()
    tab.tag("tape", "paint chip")
    assert tab.labels().count("Tape") == 2, "the two that were drawn, without the one that was deleted"


def encodes(tab: LabellingPage) -> int:
    counts = re.findall(r'encodes_total{model="sam_encoder"} (\d+)', httpx.get(f"{tab.url}/metrics").text)
    return int(counts[0])


def turn_on_fine_masks(tab: LabellingPage) -> int:
    """Turn them on, and return how many parts of the image the segmenter looked at for that."""
    button = tab.page.get_by_role("button", name="Fine masks")
    before = encodes(tab)
    with tab.page.expect_response("**/detect"):
        button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(tab.page.locator(".tag-row.waiting")).to_have_count(0)
    return encodes(tab) - before


def test_fine_masks_are_asked_for_once_they_are_turned_on(tab: LabellingPage, samples: Path, tmp_path: Path) -> None:
    tab.add(samples / "runway.jpg")
    tab.tag("fuel cap")
    assert len(masks_of(tab.dataset(tmp_path))) == 2
    assert turn_on_fine_masks(tab) == 2, "each fuel cap lies in a part of its own"
    tab.page.keyboard.press("n")
    before = encodes(tab)
    tab.click((208, 115))
    assert encodes(tab) - before == 1, "clicks look closer too"


def test_a_fine_mask_is_of_the_same_thing(tab: LabellingPage, samples: Path, tmp_path: Path) -> None:
    tab.add(samples / "runway.jpg")
    tab.tag("bolt nut set")
    (coarse,) = masks_of(tab.dataset(tmp_path))
    turn_on_fine_masks(tab)
    (fine,) = masks_of(tab.dataset(tmp_path))
    assert 0.7 < mask_iou(coarse, fine) < 1, "the same thing with another outline"


def test_keys_are_asked_for_and_kept_in_the_tab(browser: Browser, samples: Path, tmp_path: Path) -> None:
    key = new_key()
    path = tmp_path / "keys.json"
    write_key_file(path, KeyFile(keys=(ApiKey(name="user", sha256=key_sha256(key)),)))
    with (
        live_server(create_app(load_settings(api_keys_file=path))) as url,
        labelling_page(browser, url) as tab,
    ):
        expect(tab.page.get_by_role("alert")).to_contain_text("An API key is needed")
        tab.page.get_by_role("button", name="Enter an API key").click()
        tab.page.get_by_label("Key", exact=True).fill(key)
        tab.page.keyboard.press("Enter")
        expect(tab.page.locator("#problem")).to_be_empty()
        tab.add(samples / "taxiway.jpg")
        tab.tag("tape")
        assert tab.labels() == ["Tape"]
        stored = tab.page.evaluate("[Object.values(sessionStorage), Object.values(localStorage), document.cookie]")
        assert stored == [[key], [], ""]


def test_a_refusal_is_shown_in_its_words(browser: Browser, samples: Path) -> None:
    with (
        live_server(create_app(load_settings(max_body_bytes=10_000, root_path="/weaksam"))) as url,
        labelling_page(browser, f"{url}/weaksam/") as tab,
    ):
        tab.add(samples / "taxiway.jpg")
        tab.page.fill("#tag-input", "tape")
        tab.page.press("#tag-input", "Enter")
        alert = tab.page.locator("#problem[role=alert]")
        expect(alert).to_contain_text("The body has too many bytes")
        expect(alert).to_contain_text("Compress the image or scale it down.")
        tab.page.get_by_role("button", name="Close").click()
        expect(alert).to_be_empty()
        tab.add({"name": "broken.png", "mimeType": "image/png", "buffer": b"no image"})
        expect(alert).to_contain_text("The browser cannot show this image")
