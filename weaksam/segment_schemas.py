"""Requests and responses of `POST /segment`: points and boxes in, masks out."""

from __future__ import annotations

import json
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from weaksam.findings import SHA256_PATTERN, fault_at
from weaksam.mask_schemas import BASE64_SCHEMA, AnyMask, Document, MaskOptions, from_base64
from weaksam.schemas import BundleInfo, ImageInfo

MAX_POINTS = 100
# Far beyond any image, and within what the networks' 32-bit numbers hold.
MAX_PIXEL = 1e6
Pixel = Annotated[float, Field(strict=True, ge=-MAX_PIXEL, le=MAX_PIXEL)]


def whole_sign(value: object) -> object:
    """Return 1 for 1.0, which JSON does not tell apart; refuse true and false, which Python takes for numbers."""
    if isinstance(value, bool):
        raise ValueError("must be 0 or 1")
    return int(value) if isinstance(value, float) and value.is_integer() else value


OnOrOff = Annotated[Literal[0, 1], BeforeValidator(whole_sign)]
Point = tuple[Pixel, Pixel, OnOrOff]
PixelBox = tuple[Pixel, Pixel, Pixel, Pixel]


def _has_an_area(box: PixelBox) -> PixelBox:
    x0, y0, x1, y1 = box
    if not (x0 < x1 and y0 < y1):
        raise ValueError("x0 must be below x1 and y0 below y1")
    return box


AreaBox = Annotated[PixelBox, AfterValidator(_has_an_area)]


def _from_json_text(value: object) -> object:
    """Return what a form's field says as JSON, or each of several fields of one name."""
    if isinstance(value, list) and all(isinstance(text, str) for text in value):
        return [_from_json_text(text) for text in value]
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:  # the second is of lists in lists in lists
        raise ValueError("is not JSON: write points like [[290, 430, 1]], a box like [190, 385, 365, 480]") from error


class SegmentParameters(MaskOptions):
    """Everything a request says besides the image."""

    points: Annotated[tuple[Point, ...], Field(max_length=MAX_POINTS), BeforeValidator(_from_json_text)] = Field(
        (), description="[[x, y, label], ...] in pixels of the upright image; label 1 on the object, 0 off it."
    )
    box: Annotated[AreaBox | None, BeforeValidator(_from_json_text)] = Field(
        None, description="[x0, y0, x1, y1], half-open, in pixels of the upright image."
    )
    image_sha256: str | None = Field(
        None, pattern=SHA256_PATTERN, description="`image.sha256` of an earlier response, in place of the image."
    )

    @model_validator(mode="after")
    def _has_a_prompt(self) -> Self:
        if self.box is None and not any(label for _, _, label in self.points):
            raise fault_at(("points",), self.points, "give a box, or at least one point with label 1")
        return self


class SegmentRequest(SegmentParameters):
    """A whole request, as a form; `points` and `box` are JSON texts."""

    image: Annotated[bytes | None, Field(strict=True), WithJsonSchema({"type": "string", "format": "binary"})] = None


class JsonSegmentRequest(SegmentParameters):
    """A whole request, as JSON."""

    image: Annotated[bytes, BeforeValidator(from_base64), WithJsonSchema(BASE64_SCHEMA)] | None = Field(
        None, description="The file's bytes in base64, alone or in a data URI."
    )


AnySegmentRequest = SegmentRequest | JsonSegmentRequest


class SegmentMask(Document):
    """One mask for the prompt."""

    mask: AnyMask | None = Field(description="null with mask_format=none.")
    box_xyxy: PixelBox | None = Field(description="The mask's tight box, half-open; null if the mask is empty.")
    predicted_iou: float = Field(description="The mask decoder's own estimate of the mask's IoU.")


class SegmentResult(Document):
    """The masks that a prompt may mean."""

    image: ImageInfo
    masks: tuple[SegmentMask, ...] = Field(
        description="By falling predicted IoU; they may be a part, the whole and a group."
    )
    timing_ms: dict[str, float] = Field(description="Wall time by stage.")
    bundle: BundleInfo
    warnings: tuple[str, ...] = Field((), description="What is wrong with the file, such as a missing end.")
