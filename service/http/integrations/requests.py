"""From a tool's body to a request of ours. Tools put images into JSON as base64, alone or in a data URI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from service.errors import InvalidRequest
from service.http.validation import invalid_request
from weaksam.findings import faults_of
from weaksam.mask_schemas import from_base64
from weaksam.schemas import JsonDetectRequest
from weaksam.segment_schemas import JsonSegmentRequest, PixelBox

Ours = TypeVar("Ours", JsonDetectRequest, JsonSegmentRequest)


class Body(BaseModel):
    """A part of a tool's request. Members that are not known are ignored: the next release of the tool may add some."""

    model_config = ConfigDict(frozen=True, extra="ignore")


Part = TypeVar("Part", bound=Body)


ImageText = Annotated[bytes, BeforeValidator(from_base64)]


def our_request(schema: type[Ours], image: bytes, places: Mapping[str, str], **fields: Any) -> Ours:
    """Return a request of ours, whose fields are checked as those of any other.

    Args:
        places: what the tool calls a field of ours.

    Raises:
        InvalidRequest: a field is at fault.
    """
    try:
        return schema.model_validate(fields | {"image": ""}).model_copy(update={"image": image})
    except ValidationError as error:
        rows = error.errors()
        named = [row | {"loc": (places.get(str(row["loc"][0]), row["loc"][0]),)} for row in rows]
        raise invalid_request(named) from error


def checked_part(schema: type[Part], value: object, place: str) -> Part:
    """Return a part of a tool's request as its schema has it.

    Raises:
        InvalidRequest: it names ``place`` and the fields at fault, but no value: what tools send may be secret.
    """
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        told = (fault.sentence("it") for fault in faults_of(error.errors(), secret=True))
        raise InvalidRequest(f"{place}: {'; '.join(told)}") from error


def dicts(value: object) -> list[dict[str, Any]]:
    """Return the objects in a list; none if it is no list."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def between(corners_xyxy: PixelBox | None) -> PixelBox | None:
    """Return the box between two opposite corners, which tools send in the order in which they were drawn."""
    if corners_xyxy is None:
        return None
    x0, y0, x1, y1 = corners_xyxy
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)
