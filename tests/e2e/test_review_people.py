"""People at a review in a real Chromium: a reload, a name, two tabs of one browser, and a tab that is closed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.support.browser.labelling_page import LabellingPage, chromium, labelling_page
from tests.support.fakes.answers import detect_result
from tests.support.fakes.fake_service import LABELS, FakeService, fake_app
from tests.support.servers.live_server import live_server
from tests.support.servers.review_server import review_server, write_labelled
from weaksam.labelling.outputs import Outcome, write_files

IMAGES, CLAIMED = 30, 10  # two tabs take ten each


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
        assert len(names(tab.page)) == 2
        for reviewed, key in enumerate("113"):
            expect(words).to_contain_text(f"{reviewed} of 3 drawn at random reviewed")
            tab.page.locator('[data-decision="accepted"][aria-disabled="false"]').wait_for()
            tab.page.keyboard.press(key)
        expect(words).to_have_text(
            "All 3 images drawn at random are reviewed, the data set is written: 2 accepted, 0 corrected, 1 rejected. "
            f"Of all {IMAGES} images, 21 to 94 % are right as they were labelled."
        )


def test_who_gets_no_image_is_told_why(tmp_path: Path) -> None:
    """Ann holds the last image, so Ben gets none; once she has decided, there is none left."""
    write_labelled(tmp_path, {f"{number:02}.png": ["Bolt", "Nut"] for number in range(2)})
    with review_server(tmp_path) as server, chromium() as browser, labelling_page(browser, server.url) as ann:
        decision = ann.page.locator('[data-decision="accepted"][aria-disabled="false"][aria-pressed="false"]')
        decision.click()
        expect(ann.page.locator("#review .quiet")).to_contain_text("1 of 2 reviewed")
        with labelling_page(browser, server.url) as ben:
            expect(ben.page.get_by_role("heading", name="Other people have the images that are left")).to_be_visible()
            decision.click()
            expect(ann.page.locator("#review .quiet")).to_contain_text("All 2 images are reviewed")
            ben.page.get_by_role("button", name="Look again").click()
            expect(ben.page.get_by_role("heading", name="There is no image left to review")).to_be_visible()
            expect(ben.page.locator("#welcome")).to_contain_text("2 accepted, 0 corrected, 0 rejected.")
            expect(ben.page.get_by_role("button", name="Look again")).to_be_hidden()


def test_who_is_done_before_the_others_is_told_so(tmp_path: Path) -> None:
    write_labelled(tmp_path, {f"{number:02}.png": ["Bolt", "Nut"] for number in range(3)})
    with review_server(tmp_path) as server, chromium() as browser, labelling_page(browser, server.url) as ann:
        names(ann.page)
        with labelling_page(browser, server.url) as ben:
            rest = ben.page.get_by_text("Other people have the images that are left. Reload the page to look again.")
            ben.page.locator('[data-decision="accepted"][aria-disabled="false"]').wait_for()
            expect(rest).to_be_hidden()
            ben.page.keyboard.press("1")
            expect(rest).to_be_visible()


def test_a_missed_tag_is_the_label_of_what_is_drawn_next(tmp_path: Path) -> None:
    """The keys of files do nothing here, and the list of keys leaves them out."""
    write_labelled(tmp_path, {"two.png": ["Bolt", "Nut"]})
    found = detect_result(b"two", ["Bolt"])
    lost = (
        detect_result(b"two", ["Nut"]).tags[0].model_copy(update={"status": "not_found", "count": 0, "stage": "score"})
    )
    result = found.model_copy(update={"tags": (*found.tags, lost)})
    outcome = Outcome(
        LABELS, found.bundle, {}, ["two.png"], frozenset(["two.png"]), (), {"two.png": result}.__getitem__
    )
    write_files(outcome, tmp_path / "labelled")
    with (
        live_server(fake_app(FakeService())) as service,
        review_server(tmp_path, "--server", service) as server,
        chromium() as browser,
        labelling_page(browser, server.url) as tab,
    ):
        expect(tab.page.locator("#new-label")).to_have_value("Nut")
        for key in "so":
            tab.page.keyboard.press(key)
        expect(tab.page.locator("#save-dialog")).to_be_hidden()
        tab.page.keyboard.press("?")
        keys = tab.page.get_by_role("dialog", name="Keys")
        expect(keys).to_contain_text("review: reject")
        expect(keys).not_to_contain_text("save the labels")
