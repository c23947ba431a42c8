"""Write the images of docs/page.md and docs/labelling/review.md. It needs Debian's `chromium`.

python -m tests.support.browser.page_screenshots docs/images
"""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from playwright.sync_api import expect

from service.app import create_app
from service.settings import load_settings
from tests.support.browser.labelling_page import LabellingPage, chromium, labelling_page
from tests.support.servers.live_server import live_server
from tests.support.servers.review_server import review_server
from training.data.formats.coco import read_coco
from training.scenes.generate import generate_scenes

SAMPLES = Path(__file__).resolve().parents[3] / "samples"
DRAWING_MS = 500
SCENES, SEED, SIZE_HW = 24, 5, (480, 640)
DESKTOP: dict[str, Any] = {"viewport": {"width": 1180, "height": 720}}
PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"}


def main(folder: Path) -> None:
    """Photograph the page as a person labels samples: on a desktop, dark with a heat map, on a phone; then a review."""
    with live_server(create_app(load_settings())) as url, chromium() as browser:
        with labelling_page(browser, url, **DESKTOP) as tab:
            _label(tab, ("taxiway.jpg", "runway.jpg", "apron.jpg"), "tape", "paint chip", "adjustable clamp", "wrench")
            tab.page.screenshot(path=folder / "page.png")
        with labelling_page(browser, url, **DESKTOP, color_scheme="dark") as tab:
            _label(tab, ("taxiway.jpg",), "tape", "paint chip", "wrench")
            _explain(tab)
            tab.page.screenshot(path=folder / "page-why.png")
        with labelling_page(browser, url, **PHONE) as tab:
            _label(tab, ("runway.jpg",), "fuel cap", "wire", "adjustable wrench")
            tab.page.screenshot(path=folder / "page-phone.png")
        with (
            TemporaryDirectory() as name,
            _review(Path(name), url) as review_url,
            labelling_page(browser, review_url, **DESKTOP) as tab,
        ):
            _accept_the_first(tab)
            tab.page.screenshot(path=folder / "review.jpg", type="jpeg", quality=80)


def _label(tab: LabellingPage, names: tuple[str, ...], *tags: str) -> None:
    tab.add(*(SAMPLES / name for name in names))
    tab.tag(*tags)


def _explain(tab: LabellingPage) -> None:
    """Show the heat map of the first tag with its peaks and prompts."""
    tab.page.keyboard.press("Escape")
    tab.page.keyboard.press("x")  # without the masks
    tab.page.get_by_role("button", name="Heat map: Tape").click()
    expect(tab.page.locator("#live")).to_have_text("The evidence is shown on the image.")
    for name in ("Peaks", "Prompts"):
        tab.page.get_by_role("checkbox", name=name).check()
    tab.page.wait_for_load_state("networkidle")
    tab.page.wait_for_timeout(DRAWING_MS)


@contextmanager
def _review(folder: Path, service_url: str) -> Iterator[str]:
    """Label generated scenes with the default bundle and yield the address of their review."""
    for _ in generate_scenes(folder / "scenes", SCENES, SEED, SIZE_HW, {"train": 1.0}):
        pass
    (folder / "photos").symlink_to(folder / "scenes" / "JPEGImages")
    images = read_coco(folder / "scenes", "train").images
    rows = [(image.path.name, ";".join(image.tags)) for image in images]
    with (folder / "tags.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("file", "tags"), *rows])
    command = [sys.executable, "-m", "weaksam", "label", str(folder / "photos"), "--tags", str(folder / "tags.csv")]
    subprocess.run([*command, "--server", service_url, "--out", str(folder / "labelled")], check=True)
    with review_server(folder, "--server", service_url) as review:
        yield review.url


def _accept_the_first(tab: LabellingPage) -> None:
    for reviewed in range(2):
        expect(tab.page.locator("#review .quiet").first).to_contain_text(f"{reviewed} of {SCENES} reviewed")
        tab.page.wait_for_load_state("networkidle")
        tab.page.wait_for_timeout(DRAWING_MS)
        if reviewed == 0:
            tab.page.keyboard.press("1")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
