"""What a decision must be before it is stored: afterwards it stands in the data set that people train on."""

from __future__ import annotations

from weaksam.errors import UserError
from weaksam.formats.labelled import LabelledImage
from weaksam.formats.run_lengths import check_mask
from weaksam.review.errors import InvalidDecision
from weaksam.review.schemas import Decision, ReviewObject

# Rounding may put a found box that far beyond the image.
MARGIN_PX = 1.0


def check_decision(image: LabelledImage, decision: Decision) -> None:
    """Raise InvalidDecision, with the member at fault and its value, if a decision on an image cannot be meant."""
    if (decision.objects is not None) != (decision.state == "corrected"):
        given = "without" if decision.objects is None else "with"
        raise InvalidDecision.of_field(
            "state", f"is {decision.state!r} {given} objects: objects belong to `corrected`, and to nothing else"
        )
    for number, thing in enumerate(decision.objects or ()):
        place = f"objects[{number}]"
        _check_label(thing.label, place)
        _check_box(thing, image.size_hw, place)
        if thing.mask is not None:
            try:
                check_mask(thing.mask.rle(), image.size_hw)
            except UserError as error:
                raise InvalidDecision.of_field(f"{place}.mask", f"does not fit: {error}") from error


def _check_label(label: str, place: str) -> None:
    """A label that the run does not have is a new category, if it is a name."""
    if not label or label != label.strip() or not label.isprintable():
        message = f"is {label!r}: give a name, without blanks around it and line ends in it"
        raise InvalidDecision.of_field(f"{place}.label", message)


def _check_box(thing: ReviewObject, size_hw: tuple[int, int], place: str) -> None:
    x0, y0, x1, y1 = thing.box_xyxy
    height, width = size_hw
    if min(x0, y0) < -MARGIN_PX or x1 > width + MARGIN_PX or y1 > height + MARGIN_PX:
        message = f"is {list(thing.box_xyxy)}: keep it in the image, which is {width} pixels wide and {height} high"
        raise InvalidDecision.of_field(f"{place}.box_xyxy", message)
