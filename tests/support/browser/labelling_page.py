"""A real Chromium on the labelling page, driven as a person would: by pointer, by keyboard, and by what is seen."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, FilePayload, Page, expect, sync_playwright

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DESKTOP = {"width": 1280, "height": 800}
TIMEOUT_MS = 60_000.0
MARGIN_PX, MAX_SCALE = 12, 8  # view.js: how the whole image lies on the canvas

Point = tuple[float, float]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Debian's Chromium; skip where there is none.

    Leave the block before any test uses asyncio: until then, Playwright's own loop runs in this thread.
    """
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class LabellingPage:
    """The page in a tab of its own.

    Attributes:
        page: Playwright's page.
        url: of the service.
        requests: every address that the tab asked for.
        faults: errors of scripts, and what the policy of the page blocked.
    """

    page: Page
    url: str
    requests: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def add(self, *images: Path | FilePayload) -> None:
        """Choose image files in the dialog."""
        self.page.set_input_files("#files", list(images))  # type: ignore[arg-type]
        expect(self.page.locator("#tag-input")).to_be_visible()

    def tag(self, *tags: str) -> None:
        """Type tags, and wait until each has its row in words."""
        for tag in tags:
            self.page.fill("#tag-input", tag)
            self.page.press("#tag-input", "Enter")
        expect(self.page.locator(".tag-row")).to_have_count(len(tags))
        expect(self.page.locator(".tag-row.waiting")).to_have_count(0)

    def rows(self) -> list[str]:
        """What stands in the row of each tag."""
        return [row.inner_text().replace("\n", " ") for row in self.page.locator(".tag-row > div:first-child").all()]

    def labels(self) -> list[str]:
        """The label of each object, as the legend shows it."""
        return [select.input_value() for select in self.page.locator(".object-row select").all()]

    def select(self, index: int) -> None:
        """Select an object by its row."""
        self.page.locator(".object-row .pick").nth(index).click()
        expect(self.page.locator(".object-row .pick").nth(index)).to_have_attribute("aria-pressed", "true")

    def window_point(self, point_xy_px: Point) -> Point:
        """Return where a pixel of the image lies in the window, while the whole image is shown."""
        name = self.page.locator("#canvas").get_attribute("aria-label") or ""
        size = re.search(r"(\d+) by (\d+) pixels", name)
        box = self.page.locator("#canvas").bounding_box()
        assert size is not None
        assert box is not None
        width, height = int(size[1]), int(size[2])
        room = (box["width"] - 2 * MARGIN_PX) / width, (box["height"] - 2 * MARGIN_PX) / height
        scale = min(*room, MAX_SCALE)
        left = box["x"] + (box["width"] - width * scale) / 2
        top = box["y"] + (box["height"] - height * scale) / 2
        return left + point_xy_px[0] * scale, top + point_xy_px[1] * scale

    def click(self, point_xy_px: Point, off: bool = False) -> None:
        """Click on the image and wait for the next mask."""
        if off:
            self.page.keyboard.down("Alt")
        with self.page.expect_response(re.compile("/segment$")):
            self.page.mouse.click(*self.window_point(point_xy_px))
        if off:
            self.page.keyboard.up("Alt")
        self.page.wait_for_load_state("networkidle")

    def drag(self, points_xy_px: Sequence[Point]) -> None:
        """Drag over the image."""
        self.page.mouse.move(*self.window_point(points_xy_px[0]))
        self.page.mouse.down()
        for point_xy_px in points_xy_px[1:]:
            self.page.mouse.move(*self.window_point(point_xy_px), steps=8)
        self.page.mouse.up()

    def saved(self, file_format: str, folder: Path) -> Path:
        """Save the labels and return the file."""
        self.page.click("#save")
        with self.page.expect_download() as download:
            self.page.click(f'[data-format="{file_format}"]')
        path = folder / download.value.suggested_filename
        download.value.save_as(path)
        expect(self.page.locator("#save-dialog")).to_be_hidden()
        return path

    def dataset(self, folder: Path) -> dict[str, Any]:
        """Save as COCO and return what the file holds."""
        dataset: dict[str, Any] = json.loads(self.saved("coco", folder).read_bytes())
        return dataset


@contextmanager
def labelling_page(browser: Browser, url: str, **options: Any) -> Iterator[LabellingPage]:
    """Open the page in a new tab, and check at the end that nothing went wrong and nothing left the host.

    Args:
        browser: of `chromium`.
        url: of the service, with a slash at the end if it has a prefix.
        options: of the tab, such as `viewport` and `color_scheme`.
    """
    context = browser.new_context(**{"viewport": DESKTOP, "accept_downloads": True, **options})
    context.set_default_timeout(TIMEOUT_MS)
    expect.set_options(timeout=TIMEOUT_MS)
    tab = LabellingPage(context.new_page(), url)
    tab.page.on("request", lambda request: tab.requests.append(request.url))
    tab.page.on("pageerror", lambda error: tab.faults.append(str(error)))
    tab.page.on("console", lambda message: _note(tab, message.type, message.text))
    tab.page.goto(url)
    yield tab
    assert tab.faults == []
    assert [asked for asked in tab.requests if not asked.startswith((url, f"blob:{url}"))] == []
    context.close()


def _note(tab: LabellingPage, kind: str, text: str) -> None:
    # A refusal of the service is no fault of the page: it is shown in words, and Chromium logs it besides.
    if kind == "error" and not text.startswith("Failed to load resource"):
        tab.faults.append(text)
