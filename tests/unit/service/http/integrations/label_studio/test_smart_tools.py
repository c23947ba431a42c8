from __future__ import annotations

import math
import re
from typing import Any

import pytest

from models.labels import Label, LabelSet
from service.errors import InvalidRequest
from service.http.integrations.label_studio.label_config import parse_label_config
from service.http.integrations.label_studio.project_labels import ProjectLabels
from service.http.integrations.label_studio.smart_tools import drawn_regions, label_and_control, prompt_fields

SIZE = {"original_width": 200, "original_height": 100}
POINT = {"type": "keypointlabels", "value": {"x": 50, "y": 10, "keypointlabels": ["nut"]}, **SIZE}
OFF = {"type": "keypointlabels", "is_positive": 0, "value": {"x": 5, "y": 50, "keypointlabels": ["nut"]}, **SIZE}
BOX = {
    "type": "rectanglelabels",
    "value": {"x": 10, "y": 20, "width": 30, "height": 40, "rectanglelabels": ["nut"]},
    **SIZE,
}
TOOLS = '<Image name="i" value="$image"/>' + "".join(
    f'<{tag} name="{tag}" toName="i"><Label value="bolt"/><Label value="nut"/></{tag}>'
    for tag in ("RectangleLabels", "PolygonLabels", "BrushLabels")
)


def project(tools: str = TOOLS) -> ProjectLabels:
    return ProjectLabels(LabelSet((Label("nut"),)), parse_label_config(f"<View>{tools}</View>"))


def test_percents_become_pixels() -> None:
    assert prompt_fields([POINT, OFF]) == {"points": [[100, 10, 1], [10, 50, 0]]}
    assert prompt_fields([BOX]) == {"points": [], "box": [20, 20, 80, 60]}


@pytest.mark.parametrize("clockwise_deg", [90, 180, 270])
def test_percents_are_of_the_image_that_is_not_turned_on_the_screen(clockwise_deg: int) -> None:
    turned = {"image_rotation": clockwise_deg}
    assert prompt_fields([POINT | turned, BOX | turned]) == {"points": [[100, 10, 1]], "box": [20, 20, 80, 60]}


@pytest.mark.parametrize(
    "row",
    [{}, {"type": "brushlabels"}, {"type": "keypointlabels"}, POINT | {"value": {"x": "a"}}, BOX | {"value": None}],
)
def test_what_is_no_prompt_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=r"context\.result"):
        prompt_fields([row])


ODD = {
    "a sign that is infinite": (POINT | {"is_positive": math.inf}, "is_positive: "),
    "a sign that is a list": (POINT | {"is_positive": []}, "is_positive: "),
    "a width beyond all numbers": (POINT | {"original_width": 10**400}, "original_width is too large: "),
    "a height of nothing": (BOX | {"original_height": 0}, "original_height: "),
    "a width that is a list": (BOX | {"original_width": []}, "original_width: "),
    "a place that is no number": (POINT | {"value": {"x": math.nan, "y": 1}}, "value.x: "),
    "a place beyond all numbers": (POINT | {"value": {"x": 10**400, "y": 1}}, "value.x is too large: "),
    "a kind that is a list": (POINT | {"type": []}, "no region is a key point"),
}


@pytest.mark.parametrize(("row", "sentence"), ODD.values(), ids=list(ODD))
def test_odd_types_are_named_without_their_value(row: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(f"context.result: {sentence}")) as caught:
        prompt_fields([row])
    assert "00000" not in caught.value.detail


@pytest.mark.parametrize("labels", [7, {"nut": 1}, "nut", [[]]])
def test_labels_that_are_no_list_of_texts_are_none(labels: object) -> None:
    with pytest.raises(InvalidRequest, match="the label of the smart tool is none"):
        label_and_control([{"type": "keypointlabels", "value": {"keypointlabels": labels}}], project())


@pytest.mark.parametrize("params", [None, {}, {"context": None}, {"context": {"result": []}}, "x"])
def test_without_a_drawing_whole_tasks_are_asked_for(params: object) -> None:
    assert drawn_regions(params) == []


def test_a_click_becomes_a_brush_stroke_with_its_label() -> None:
    label, control = label_and_control([POINT], project())
    assert (label, control.target.kind) == ("nut", "brushlabels")


def test_a_label_that_no_region_has_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="'rock'"):
        label_and_control([{"type": "keypointlabels", "value": {"keypointlabels": ["rock"]}}], project())


def test_a_tool_without_labels_needs_a_project_with_one() -> None:
    bare = {"type": "keypoint", "value": {"x": 1, "y": 1}}
    with pytest.raises(InvalidRequest, match="none"):
        label_and_control([bare], project())
    one = '<Image name="i" value="$image"/><BrushLabels name="b" toName="i"><Label value="nut"/></BrushLabels>'
    assert label_and_control([bare], project(one))[0] == "nut"
