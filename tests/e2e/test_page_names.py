"""The names of objects on the canvas, drawn in a real Chromium: they stand beside the objects and hide none."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.support.browser.labelling_page import labelling_page

Box = tuple[float, float, float, float]

SIDE_PX = 12.0
# Draws objects on a grey image as large as the canvas; counts pixels within each box that are not grey any more.
DRAW = """async ({ boxes, selectedId }) => {
  const { drawScene } = await import("/page/drawing/drawing.js");
  const bitmap = new OffscreenCanvas(300, 300);
  const grey = bitmap.getContext("2d");
  grey.fillStyle = "rgb(128 128 128)";
  grey.fillRect(0, 0, 300, 300);
  const context = new OffscreenCanvas(300, 300).getContext("2d");
  const names = [];
  const fillText = context.fillText.bind(context);
  context.fillText = (text, x, y) => { names.push([text, x, y]); fillText(text, x, y); };
  const objects = boxes.map((box_xyxy, index) => ({
    id: String(index), label: `N${index}`, score: 0.5, source: "detector", box_xyxy, mask: null, clicks: [],
  }));
  const scene = { bitmap, objects, selectedId, labels: [], masksShown: true, layers: {} };
  drawScene(context, scene, { scale: 1, left: 0, top: 0 }, 1);
  const hidden = boxes.map(([x0, y0, x1, y1]) => {
    const { data } = context.getImageData(x0 + 2, y0 + 2, x1 - x0 - 4, y1 - y0 - 4);
    return data.filter((value, index) => index % 4 !== 3 && value !== 128).length;
  });
  return { hidden, names };
}"""


def square(x: float, y: float) -> Box:
    return (x, y, x + SIDE_PX, y + SIDE_PX)


def draw(browser: Browser, url: str, boxes: list[Box], selected: int | None = None) -> Any:
    with labelling_page(browser, url) as tab:
        chosen = None if selected is None else str(selected)
        return tab.page.evaluate(DRAW, {"boxes": boxes, "selectedId": chosen})


@pytest.mark.parametrize(
    "boxes",
    [
        pytest.param([square(100, 0)], id="at the top of the image"),
        pytest.param([square(288, 288)], id="in its last corner"),
        pytest.param([square(100, 100), square(100, 118)], id="one below the other"),
        pytest.param([square(100, 100), square(130, 112)], id="one to the right of the other"),
        pytest.param([square(20 + 90 * x, 30 * y) for x in range(3) for y in range(10)], id="columns"),
    ],
)
def test_every_small_object_is_seen_and_named(browser: Browser, url: str, boxes: list[Box]) -> None:
    drawn = draw(browser, url, boxes)
    assert drawn["hidden"] == [0] * len(boxes)
    assert sorted(text for text, _, _ in drawn["names"]) == sorted(f"N{index} 0.50" for index in range(len(boxes)))


def test_findings_on_one_place_have_a_name_each(browser: Browser, url: str) -> None:
    drawn = draw(browser, url, [square(100, 100), square(102, 101), square(101, 103)])
    places = {(x // 10, y // 10) for _, x, y in drawn["names"]}
    assert len(places) == 3, "one under the other cannot be read"


def test_without_room_the_selected_object_alone_is_named(browser: Browser, url: str) -> None:
    crowd = [square(14 * x, 14 * y) for x in range(21) for y in range(21)]
    assert draw(browser, url, crowd)["names"] == []
    [[text, _, _]] = draw(browser, url, crowd, selected=220)["names"]
    assert text == "N220 0.50"


def test_a_name_stands_where_its_object_is_in_view(browser: Browser, url: str) -> None:
    [[_, x, y]] = draw(browser, url, [(-500, -500, 900, 900)])["names"]
    assert 0 <= x < 300
    assert 0 <= y < 300
    assert draw(browser, url, [(-90, -90, -60, -60)])["names"] == []
