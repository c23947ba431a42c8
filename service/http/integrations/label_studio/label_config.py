"""The labelling interface of a project, as far as predictions depend on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args
from xml.etree import ElementTree as ET

from service.errors import InvalidRequest
from weaksam.formats.label_studio_regions import RegionKind, RegionTarget

KINDS: tuple[RegionKind, ...] = get_args(RegionKind)
WANTED_CONTROLS = "RectangleLabels, BrushLabels or PolygonLabels"


@dataclass(frozen=True)
class ProjectLabel:
    """A label or a choice.

    Attributes:
        text: as results carry it: the alias, if there is one.
        shown: as people see it.
    """

    text: str
    shown: str


@dataclass(frozen=True)
class RegionControl:
    """A tag that regions are drawn with.

    Attributes:
        smart: whether it prompts the model instead of holding its results.
    """

    target: RegionTarget
    labels: tuple[ProjectLabel, ...]
    smart: bool


@dataclass(frozen=True)
class ChoicesControl:
    """A tag whose choices say what is in the whole image.

    Attributes:
        choices: None if each task brings its own.
    """

    name: str
    choices: tuple[ProjectLabel, ...] | None


@dataclass(frozen=True)
class LabelConfig:
    """A labelling interface.

    Attributes:
        image_field: the field of a task's data that names the image.
        controls: what regions are drawn with, on that image.
        choices: what image-level tags are set with.
    """

    image_field: str
    controls: tuple[RegionControl, ...]
    choices: tuple[ChoicesControl, ...]

    @property
    def outputs(self) -> tuple[RegionControl, ...]:
        """The controls that predictions go into: those of smart tools only if there are no others."""
        return tuple(control for control in self.controls if not control.smart) or self.controls

    @property
    def needs_masks(self) -> bool:
        """Whether an output holds more than boxes."""
        return any(control.target.kind != "rectanglelabels" for control in self.outputs)


def parse_label_config(text: object) -> LabelConfig:
    """Read the XML of a labelling interface.

    Raises:
        InvalidRequest: it is no XML, shows no image, or has nothing that regions are drawn with.
    """
    root = _root(text)
    image = next((tag for tag in root.iter() if _is(tag, "image") and tag.get("value", "").startswith("$")), None)
    if image is None:
        raise InvalidRequest('the labelling interface has no <Image name="image" value="$image"/>: add one')
    name = image.get("name", "")
    on_image = [tag for tag in root.iter() if name in map(str.strip, tag.get("toName", "").split(","))]
    controls = tuple(_region_control(tag, kind, name) for tag in on_image for kind in KINDS if _is(tag, kind))
    if not controls:
        raise InvalidRequest(f"the labelling interface has no {WANTED_CONTROLS} with toName={name!r}: add one")
    choices = tuple(_choices_control(tag) for tag in on_image if _is(tag, "choices") and not _flag(tag, "perRegion"))
    return LabelConfig(image.get("value", "")[1:], controls, choices)


def _root(text: object) -> ET.Element:
    if not isinstance(text, str) or not text.strip():
        raise InvalidRequest("the labelling interface is empty: set one up in the project")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise InvalidRequest("the labelling interface declares a document type or entities: remove them")
    try:
        return ET.fromstring(text)  # noqa: S314 - texts that declare entities were refused above
    except (ET.ParseError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"the labelling interface is not well-formed XML ({error})") from error


def _region_control(tag: ET.Element, kind: RegionKind, image: str) -> RegionControl:
    target = RegionTarget(kind, tag.get("name", ""), image)
    return RegionControl(target, _labels(tag, "label"), _flag(tag, "smart"))


def _choices_control(tag: ET.Element) -> ChoicesControl:
    return ChoicesControl(tag.get("name", ""), None if tag.get("value") else _labels(tag, "choice"))


def _labels(tag: ET.Element, kind: str) -> tuple[ProjectLabel, ...]:
    found = [child for child in tag.iter() if _is(child, kind)]
    labels = (ProjectLabel(child.get("alias", "") or child.get("value", ""), child.get("value", "")) for child in found)
    return tuple(label for label in dict.fromkeys(labels) if label.text)


def _is(tag: ET.Element, kind: str) -> bool:
    return tag.tag.lower() == kind


def _flag(tag: ET.Element, name: str) -> bool:
    return tag.get(name, "").lower() == "true"
