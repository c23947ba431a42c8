from __future__ import annotations

import pytest

from service.http.routes import wants_png

ACCEPTS = {
    "nothing": ("", False),
    "anything, as curl": ("*/*", False),
    "json": ("application/json", False),
    "png": ("image/png", True),
    "png in capitals": ("Image/PNG", True),
    "json before png": ("application/json, image/png;q=0.5", False),
    "png before json": ("image/png, application/json;q=0.5", True),
    "any application type before png": ("application/*, image/png;q=0.5", False),
    "both alike": ("application/json, image/png", True),
    "png refused": ("image/png;q=0, */*", False),
    "an img element of a browser": ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", True),
    "a page of a browser": ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
    "a quality that is none": ("image/png;q=high", True),
}


@pytest.mark.parametrize(("accept", "png"), ACCEPTS.values(), ids=list(ACCEPTS))
def test_a_picture_is_drawn_for_who_asks_for_one(accept: str, png: bool) -> None:
    assert wants_png(accept) == png
