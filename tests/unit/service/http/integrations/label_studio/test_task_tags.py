from __future__ import annotations

from typing import Any

import pytest

from models.labels import Label, LabelSet
from service.errors import InvalidRequest
from service.http.integrations.label_studio.label_config import ChoicesControl, LabelConfig, ProjectLabel
from service.http.integrations.label_studio.project_labels import ProjectLabels
from service.http.integrations.label_studio.task_tags import tags_of_task


def project(*controls: ChoicesControl) -> ProjectLabels:
    return ProjectLabels(LabelSet((Label("bolt"), Label("nut"))), LabelConfig("image", (), controls))


def choices(name: str, *texts: str) -> ChoicesControl:
    return ChoicesControl(name, tuple(ProjectLabel(text, text) for text in texts))


PROJECT = project(choices("tags", "bolt", "nut"), choices("quality", "good", "blurred"))


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
        ({"data": {"tags": "bolt\nnut"}}, ("bolt", "nut")),
        ({"data": {"tags": {"choices": ["nut"]}}}, ("nut",)),
        ({"data": {"tags": '["bolt", "nut"]'}}, ("bolt", "nut")),
        ({"data": {"tags": '{"choices": ["nut"]}'}}, ("nut",)),
        ({"data": {"tags": "[bolt, nut]"}}, ("[bolt", "nut]")),
        ({"data": {"tags": "[" * 100_000}}, ("[" * 100_000,)),
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
        "lines",
        "export",
        "JSON list in a text",
        "export in a text",
        "brackets of no JSON",
        "lists in lists in lists",
        "number",
        "other field",
        "nonsense",
        "nothing",
    ],
)
def test_tags_come_from_the_first_place_that_has_some(task: dict[str, Any], tags: tuple[str, ...]) -> None:
    assert tags_of_task(task, PROJECT) == tags


@pytest.mark.parametrize("name", [["tags"], {"tags": 1}, 7])
def test_a_choice_of_a_tag_that_is_no_text_is_refused(name: Any) -> None:
    with pytest.raises(InvalidRequest, match="a choice of the task: from_name: must be a text in quotes"):
        tags_of_task({"annotations": [chosen("bolt", name=name)]}, PROJECT)


def test_choices_of_the_task_itself_count_too() -> None:
    own = project(ChoicesControl("own", None))
    assert tags_of_task({"annotations": [chosen("bolt", name="own")]}, own) == ("bolt",)


def test_a_choice_with_an_alias_means_what_people_see() -> None:
    aliased = project(ChoicesControl("tags", (ProjectLabel("b1", "bolt"), ProjectLabel("nut", "The other one"))))
    assert tags_of_task({"annotations": [chosen("b1", "nut")]}, aliased) == ("bolt", "nut")
