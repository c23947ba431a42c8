"""The labelling page for everybody: phones, dark and light, screen readers; and what it saves, read back."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, expect

from tests.support.browser.labelling_page import LabellingPage, labelling_page
from tests.support.labelling_tools.format_readers import even_odd
from weaksam.formats.run_lengths import decode_rle, encode_rle
from weaksam.validation_images import val_ids

PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}
SERIOUS = ("serious", "critical")


@pytest.fixture
def sample(repository_dir: Path) -> Path:
    return repository_dir / "samples" / "taxiway.jpg"


def test_a_phone_of_360_pixels_has_everything_within_its_width(browser: Browser, url: str, sample: Path) -> None:
    with labelling_page(browser, url, **PHONE) as tab:
        assert widest(tab) <= 360
        tab.add(sample)
        tab.tag("tape")
        assert widest(tab) <= 360
        for button in tab.page.locator("button:visible, select:visible, input:visible").all():
            box = button.bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 360, button.inner_text()
            assert min(box["width"], box["height"]) >= 18
        tab.page.get_by_role("button", name="Select Tape, object 1").tap()
        tab.page.get_by_role("button", name="Add", exact=True).last.tap()
        with tab.page.expect_response("**/segment"):
            tab.page.touchscreen.tap(*tab.window_point((215, 80)))
        expect(tab.page.locator(".object-row .score")).to_contain_text("corrected")


@pytest.mark.parametrize("width", [800, 1024])
def test_a_small_window_has_every_tool_in_view(browser: Browser, url: str, sample: Path, width: int) -> None:
    with labelling_page(browser, url, viewport={"width": width, "height": 768}) as tab:
        tab.add(sample)
        toolbar = tab.page.locator("#toolbar")
        assert toolbar.evaluate("bar => bar.scrollWidth - bar.clientWidth") <= 0


def widest(tab: LabellingPage) -> int:
    width: int = tab.page.evaluate("document.documentElement.scrollWidth")
    return width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Browser, url: str, sample: Path, scheme: str) -> None:
    with labelling_page(browser, url, color_scheme=scheme) as tab:
        assert violations(tab) == []
        tab.add(sample)
        tab.tag("tape", "wrench", "taep")
        tab.select(0)
        tab.page.get_by_role("checkbox", name="Peaks").check()
        expect(tab.page.locator("#live")).to_have_text("The evidence is shown on the image.")
        assert violations(tab) == []
        for key, name in (("?", "Keys"), ("s", "Save labels")):
            tab.page.keyboard.press(key)
            expect(tab.page.get_by_role("dialog", name=name)).to_be_visible()
            assert violations(tab) == []
            tab.page.keyboard.press("Escape")


def violations(tab: LabellingPage) -> list[str]:
    found: list[dict[str, Any]] = Axe().run(tab.page).response["violations"]
    return [f"{row['id']}: {row['nodes'][0]['html']}" for row in found if row["impact"] in SERIOUS]


def test_images_that_differ_in_their_suffixes_alone_are_not_saved_as_yolo(
    browser: Browser, url: str, sample: Path, tmp_path: Path
) -> None:
    copies = [tmp_path / "same.jpg", tmp_path / "same.png"]
    Image.open(sample).save(copies[1])
    copies[0].write_bytes(sample.read_bytes())
    with labelling_page(browser, url) as tab:
        tab.add(*copies)
        tab.tag("tape")
        tab.page.get_by_role("button", name="Use these tags on all 2 images").click()
        expect(tab.page.locator(".image-entry.ready")).to_have_count(2)
        tab.page.click("#save")
        tab.page.locator("[data-format=yolo]").click()
        expect(tab.page.locator("#problem")).to_contain_text("same.jpg and same.png would both become same.txt")


def test_yolo_and_png_hold_the_masks_of_coco(browser: Browser, url: str, sample: Path, tmp_path: Path) -> None:
    with labelling_page(browser, url) as tab:
        tab.add(sample)
        tab.tag("tape", "paint chip")
        dataset = tab.dataset(tmp_path)
        yolo, png = (zipfile.ZipFile(tab.saved(name, tmp_path)) for name in ("yolo", "png"))
    assert yolo.testzip() is None
    assert png.testzip() is None
    config = yaml.safe_load(yolo.read("data.yaml"))
    assert yolo.read(config["train"]) == b"./images/taxiway.jpg\n"
    names = config["names"]
    lines = yolo.read("labels/taxiway.txt").decode().splitlines()
    table = list(csv.DictReader(io.StringIO(png.read("masks.csv").decode())))
    for annotation, line, row in zip(dataset["annotations"], lines, table, strict=True):
        mask_hw = decode_rle(annotation["segmentation"]).astype(bool)
        label = dataset["categories"][annotation["category_id"] - 1]["name"]
        index, *shares = line.split()
        corners_xy = np.array(shares, np.float64).reshape(-1, 2) * mask_hw.shape[::-1]
        assert names[int(index)] == row["label"] == label
        assert np.array_equal(even_odd(corners_xy.round(), mask_hw.shape), mask_hw)
        grey = np.asarray(Image.open(io.BytesIO(png.read(row["file"]))).convert("L"))
        assert np.array_equal(grey == 255, mask_hw)


def test_yolo_tells_images_to_learn_from_and_to_validate_on_apart(
    browser: Browser, url: str, sample: Path, tmp_path: Path
) -> None:
    copies = [tmp_path / f"{name}.jpg" for name in "ab"]
    for copy in copies:
        copy.write_bytes(sample.read_bytes())
    with labelling_page(browser, url) as tab:
        tab.add(*copies)
        tab.tag("tape")
        tab.page.get_by_role("button", name="Use these tags on all 2 images").click()
        expect(tab.page.locator(".image-entry.ready")).to_have_count(2)
        yolo = zipfile.ZipFile(tab.saved("yolo", tmp_path))
    config = yaml.safe_load(yolo.read("data.yaml"))
    assert [yolo.read(config[split]) for split in ("train", "val")] == [b"./images/a.jpg\n", b"./images/b.jpg\n"]


def test_the_page_and_convert_choose_the_same_images_to_validate_on(browser: Browser, url: str) -> None:
    rng = np.random.default_rng(6)
    sets = [random_tags(rng, images=images) for images in [*range(1, 60), 250, 350]]
    sets += [{f"{number:02d}.jpg": [f"kind {number // 4}"] for number in range(images)} for images in (17, 37, 80)]
    with labelling_page(browser, url) as tab:
        chosen = tab.page.evaluate(CHOOSE, [list(tags_of.items()) for tags_of in sets])
    assert [set(names) for names in chosen] == [val_ids(tags_of, {}) for tags_of in sets]


CHOOSE = """async (sets) => {
  const { validationNames } = await import("/page/save/validation_images.js");
  return sets.map((tags) => [...validationNames(new Map(tags))]);
}"""


def random_tags(rng: np.random.Generator, images: int) -> dict[str, list[str]]:
    """Return the tags of images: of long runs of frames, of short ones, or at random; some images have none."""
    run, kinds = rng.choice([1, 4, 30]), int(rng.integers(1, 12))
    tags = [[f"kind {kind}" for kind in rng.integers(kinds, size=rng.integers(0, 3))] for _ in range(images)]
    return {f"{rng.integers(3)}/{number}.jpg": tags[number // run] for number in range(images)}


def test_run_lengths_and_outlines_agree_with_pycocotools(browser: Browser, url: str) -> None:
    rng = np.random.default_rng(4)
    masks = [random_mask(rng) for _ in range(60)]
    rles = [encode_rle(mask_hw) for mask_hw in masks]
    with labelling_page(browser, url) as tab:
        seen = tab.page.evaluate(READ_MASKS, [{"size": list(rle["size"]), "counts": rle["counts"]} for rle in rles])
    for mask_hw, rle, read in zip(masks, rles, seen, strict=True):
        if read is None:
            assert not mask_hw.any()
            continue
        assert read["counts"] == rle["counts"]
        assert np.array_equal(pasted(read["crop"], mask_hw.shape), mask_hw)
        inside = np.zeros_like(mask_hw, np.bool_)
        for ring in read["rings"]:
            inside ^= even_odd(np.array(ring, np.float64), mask_hw.shape)
        assert np.array_equal(inside, mask_hw)
        assert np.array_equal(even_odd(np.array(read["joined"], np.float64), mask_hw.shape), mask_hw)


READ_MASKS = """async (masks) => {
  const { decodeMask, encodeMask } = await import("/page/masks/rle.js");
  const { joinedRing, ringsOf } = await import("/page/masks/outline.js");
  return masks.map((mask) => {
    const crop = decodeMask(mask);
    if (!crop) return null;
    const rings = ringsOf(crop);
    const { counts } = encodeMask(crop, mask.size);
    return { crop: { ...crop, pixels: [...crop.pixels] }, rings, joined: joinedRing(rings), counts };
  });
}"""


def random_mask(rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Return a mask with parts, holes, pixels that touch at a corner, or nothing at all."""
    coarse_hw: npt.NDArray[np.bool_] = rng.random((6, 8)) < rng.choice([0.0, 0.3, 0.6])
    specks_hw: npt.NDArray[np.bool_] = rng.random((60, 80)) < rng.choice([0.0, 0.01])
    return specks_hw ^ np.repeat(np.repeat(coarse_hw, 10, axis=0), 10, axis=1)


def pasted(crop: dict[str, Any], size_hw: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    mask_hw = np.zeros(size_hw, np.bool_)
    pixels_hw = np.array(crop["pixels"], np.bool_).reshape(crop["height"], crop["width"])
    mask_hw[crop["y0"] : crop["y0"] + crop["height"], crop["x0"] : crop["x0"] + crop["width"]] = pixels_hw
    return mask_hw
