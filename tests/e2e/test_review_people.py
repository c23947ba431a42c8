"""People at a review in a real Chromium: a reload, a name, two tabs of one browser, and a tab that is closed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.support.browser.labelling_page import LabellingPage, chromium, labelling_page
from tests.support.servers.review_server import review_server, write_labelled

IMAGES, CLAIMED = 24, 10


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[LabellingPage]:
    """The review of many images, without a labelling service."""
    write_labelled(tmp_path, {f"{number:02}.png": ["Bolt", "Nut"] for number in range(IMAGES)})
    with (
        review_server(tmp_path) as server,
        chromium() as browser,
        labelling_page(browser, server.url) as opened,
    ):
        yield opened


def names(page: Page) -> list[str]:
    """The images that a tab holds, in its order."""
    expect(page.locator('#images [aria-current="true"]')).to_be_visible()
    return [text.partition(". ")[2] for text in page.locator(".image-name").all_inner_texts()]


def call_oneself(page: Page, name: str) -> None:
    page.fill("#reviewer", name)
    page.press("#reviewer", "Tab")


def accept(page: Page, reviewed: int) -> None:
    page.locator('[data-decision="accepted"][aria-disabled="false"]').click()
    expect(page.locator("#review .quiet")).to_contain_text(f"{reviewed} of {IMAGES} reviewed")


def test_a_reload_goes_on_with_the_same_images_under_the_same_name(tab: LabellingPage) -> None:
    before = names(tab.page)
    call_oneself(tab.page, "Ann")
    accept(tab.page, 1)
    tab.page.reload()
    after = names(tab.page)
    assert after[: CLAIMED - 1] == before[1:]
    expect(tab.page.locator("#reviewer")).to_have_value("Ann")


def test_two_tabs_are_two_people(tab: LabellingPage) -> None:
    call_oneself(tab.page, "Ann")
    other = tab.page.context.new_page()
    other.goto(tab.url)
    assert len({*names(tab.page), *names(other)}) == 2 * CLAIMED
    expect(other.locator("#reviewer")).to_have_value("Ann")
    call_oneself(other, "Ben")
    accept(tab.page, 1)
    accept(other, 2)
    tab.page.reload()
    expect(tab.page.locator("#reviewer")).to_have_value("Ann")
    entries = [httpx.get(f"{tab.url}/review/images/{number + 1}").json() for number in range(IMAGES)]
    assert sorted(entry["reviewer"] for entry in entries if entry["state"] == "accepted") == ["Ann", "Ben"]


def test_a_tab_that_is_closed_gives_its_images_back(tab: LabellingPage) -> None:
    held = names(tab.page)
    assert free(tab.url) not in held
    tab.page.goto("about:blank")
    give_up = time.monotonic() + 30
    while free(tab.url) != held[0]:
        assert time.monotonic() < give_up
        time.sleep(0.1)


def free(url: str) -> str:
    """The first image that someone else would get."""
    claimed = httpx.post(f"{url}/review/claims", json={"reviewer": "someone else", "count": 1}).json()
    name: str = claimed[0]["file_name"]
    return name


def test_a_random_sample_tells_of_all_images(tmp_path: Path) -> None:
    write_labelled(tmp_path, {f"{number:02}.png": ["Bolt", "Nut"] for number in range(IMAGES)})
    with (
        review_server(tmp_path, "--sample", "3") as server,
        chromium() as browser,
        labelling_page(browser, server.url) as tab,
    ):
        words = tab.page.locator("#review .quiet")
        assert len(names(tab.page)) == 3
        for reviewed, key in enumerate("113"):
            expect(words).to_contain_text(f"{reviewed} of 3 drawn at random reviewed")
            tab.page.locator('[data-decision="accepted"][aria-disabled="false"]').wait_for()
            tab.page.keyboard.press(key)
        expect(words).to_have_text(
            "All 3 images drawn at random are reviewed, the data set is written: 2 accepted, 0 corrected, 1 rejected. "
            "Of all 24 images, 21 to 94 % are right as they were labelled."
        )
