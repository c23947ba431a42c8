"""The image-level tags of a task: its choices, wherever the project keeps them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from service.http.integrations.label_studio.label_config import ChoicesControl
from service.http.integrations.label_studio.project_labels import ProjectLabels
from service.http.integrations.requests import Body, checked_part, dicts
from weaksam.tag_texts import distinct_tags, split_written_tags

TAGS_FIELD = "tags"


class Choice(Body):
    """What was chosen with one `Choices` tag.

    Attributes:
        from_name: of the tag.
    """

    from_name: str | None = None
    value: Any = None


def tags_of_task(task: Mapping[str, Any], labels: ProjectLabels) -> tuple[str, ...]:
    """Return the tags of a task, from the first place that has some.

    The places are the annotations and drafts of people, the predictions, and the fields of the data that are named
    like a `Choices` tag or `tags`. Choices of which the bundle knows none say something else about the image, such as
    its quality.

    Args:
        task: as Label Studio sends it.
        labels: of the task's project.

    Raises:
        InvalidRequest: a choice does not say by a text which tag it was made with.
    """
    controls = [control for control in labels.config.choices if _says_what_is_shown(control, labels)]
    names = {control.name for control in controls}
    tag_of = {choice.text: labels.tag(choice) for control in controls for choice in control.choices or ()}
    by_people = [*dicts(task.get("annotations")), *dicts(task.get("drafts"))]
    data = task.get("data")
    places = (
        _chosen(by_people, names),
        _chosen(dicts(task.get("predictions")), names),
        _named(data if isinstance(data, dict) else {}, [*names, TAGS_FIELD]),
    )
    tags = (tuple(dict.fromkeys(tag_of.get(text, text) for text in place)) for place in places)
    return next(filter(None, tags), ())


def _says_what_is_shown(control: ChoicesControl, labels: ProjectLabels) -> bool:
    return control.choices is None or any(map(labels.is_known, control.choices))


def _chosen(results: Iterable[Mapping[str, Any]], names: set[str]) -> Iterator[str]:
    rows = (row for one in results if not one.get("was_cancelled") for row in dicts(one.get("result")))
    for row in (checked_part(Choice, row, "a choice of the task") for row in rows if row.get("type") == "choices"):
        if row.from_name in names:
            yield from _texts(row.value)


def _named(data: Mapping[str, Any], fields: Iterable[str]) -> Iterator[str]:
    for field in fields:
        yield from _texts(data.get(field))


def _texts(value: object) -> Iterator[str]:
    """Yield the tags in a text that a person wrote, a list of texts, or what Label Studio writes: `{"choices": [...]}`.

    Tasks that were imported from a CSV have the last two as JSON.
    """
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        with suppress(ValueError, RecursionError):  # the second is of lists in lists in lists
            value = json.loads(value)
    if isinstance(value, dict):
        value = value.get("choices")
    if isinstance(value, str):
        yield from split_written_tags(value)
    if isinstance(value, list):
        yield from distinct_tags(text for text in value if isinstance(text, str))
