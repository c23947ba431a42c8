from __future__ import annotations

from typing import Any

import pytest

from service.http.integrations.label_studio.label_config import ChoicesControl, LabelConfig
from service.http.integrations.label_studio.task_tags import tags_of_task

CONFIG = LabelConfig(
    "image", (), (ChoicesControl("tags", ("bolt", "nut")), ChoicesControl("quality", ("good", "blurred")))
)


def chosen(*texts: str, name: str = "tags", **more: Any) -> dict[str, Any]:
    return {"result": [{"from_name": name, "type": "choices", "value": {"choices": list(texts)}}], **more}


@pytest.mark.parametrize(
    ("task", "tags"),
    [
        ({"annotations": [chosen("bolt")], "predictions": [chosen("nut")], "data": {"tags": "nut"}}, ("bolt",)),
        ({"annotations": [chosen("bolt"), chosen("nut", "bolt")]}, ("bolt", "nut")),
        ({"annotations": [chosen("bolt", was_cancelled=True)], "predictions": [chosen("nut")]}, ("nut",)),
        ({"annotations": [], "drafts": [chosen("bolt")]}, ("bolt",)),
        ({"annotations": [chosen("blurred", name="quality")], "data": {"tags": ["bolt", " nut "]}}, ("bolt", "nut")),
        ({"annotations": [chosen("plane")]}, ("plane",)),
        ({"data": {"tags": "bolt; nut,bolt"}}, ("bolt", "nut")),
        ({"data": {"tags": {"choices": ["nut"]}}}, ("nut",)),
        ({"data": {"tags": 7}}, ()),
        ({"data": {"image": "bolt"}}, ()),
        ({"annotations": 3, "predictions": [None, {"result": "x"}, {"result": [{"type": "choices"}]}]}, ()),
        ({}, ()),
    ],
    ids=[
        "people before models",
        "several people",
        "cancelled",
        "draft",
        "no image-level tag",
        "unknown choice",
        "text",
        "export",
        "number",
        "other field",
        "nonsense",
        "nothing",
    ],
)
def test_tags_come_from_the_first_place_that_has_some(task: dict[str, Any], tags: tuple[str, ...]) -> None:
    assert tags_of_task(task, CONFIG, {"bolt", "nut"}.__contains__) == tags


def test_choices_of_the_task_itself_count_too() -> None:
    config = LabelConfig("image", (), (ChoicesControl("own", None),))
    assert tags_of_task({"annotations": [chosen("bolt", name="own")]}, config, {"bolt"}.__contains__) == ("bolt",)
