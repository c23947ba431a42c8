"""Write the images of docs/page.md. It needs Debian's `chromium`.

python -m tests.support.page_screenshots docs/images
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from service.app import create_app
from service.settings import load_settings
from tests.support.browser import LabellingPage, chromium, labelling_page
from tests.support.live_server import live_server

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
DRAWING_MS = 500
DESKTOP: dict[str, Any] = {"viewport": {"width": 1180, "height": 720}}
PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"}


def main(folder: Path) -> None:
    """Label samples as a person would, and photograph the page on a desktop, dark with a heat map, and on a phone."""
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


if __name__ == "__main__":
    main(Path(sys.argv[1]))
