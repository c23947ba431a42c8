from __future__ import annotations

from models.labels import Label, LabelSet
from service.http.integrations.label_studio.label_config import parse_label_config
from service.http.integrations.label_studio.project_labels import ProjectLabels

PROJECT = ProjectLabels(
    LabelSet((Label("red-bolt", ("rivet",)), Label("green-nut"))),
    parse_label_config(
        """<View><Image name="i" value="$image"/><RectangleLabels name="box" toName="i">
        <Label value="Rock"/><Label value="Rivet"/><Label value="Green Nut" alias="n1"/></RectangleLabels></View>"""
    ),
)
[BOX] = PROJECT.config.outputs


def test_names_of_the_bundle_become_texts_of_the_project() -> None:
    assert PROJECT.text_in(BOX, "red-bolt") == "Rivet"
    assert PROJECT.text_in(BOX, "green-nut") == "n1"


def test_a_name_that_neither_knows_becomes_no_label() -> None:
    """Such as one of a bundle that has just been replaced."""
    assert PROJECT.text_in(BOX, "blue-wrench") is None
    assert not PROJECT.allowed("")


def test_labels_that_are_not_predicted_are_named_as_people_see_them() -> None:
    assert PROJECT.warnings() == (
        "'Rock' is not predicted: the bundle has no such label, the nearest are red-bolt, green-nut",
    )
