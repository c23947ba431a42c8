"""Masks in requests and responses: the formats that a request may ask for, and what each looks like."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal, TypedDict

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

MaskFormat = Literal["rle", "polygon", "png", "none"]
MIN_FIDELITY = 0.98  # minimum IoU of polygons with their mask, where no other is asked for
# The texts that pydantic reads as true or false, in capitals or not.
FLAG = "^(?:0|1|[oO][nN]|[oO][fF][fF]|[tT]([rR][uU][eE])?|[fF]([aA][lL][sS][eE])?|[yY]([eE][sS])?|[nN][oO]?)$"
DESCRIBING = ("title", "description", "default")
# A data URI's head, if there is one; groups of four signs, the last one filled with =; white space anywhere.
DATA_SCHEME, DATA_MARK = "data:", ";base64"
_SIGN = r"(\s*[A-Za-z0-9+/])"
BASE64 = rf"^({DATA_SCHEME}[^,]*{DATA_MARK},)?({_SIGN}{{4}})*({_SIGN}{{2}}\s*=\s*=|{_SIGN}{{3}}\s*=)?\s*$"
BASE64_SCHEMA = {"type": "string", "contentEncoding": "base64", "pattern": BASE64}


class Document(BaseModel):
    """A part of a request or a response."""

    # Unknown members are refused: a misspelt option must not be ignored silently.
    model_config = ConfigDict(frozen=True, extra="forbid")


def or_empty(schema: dict[str, Any]) -> None:
    """Let the schema of an option allow null and the empty text, which mean its default."""
    described: dict[str, Any] = {name: schema.pop(name) for name in DESCRIBING if name in schema}
    allowed = [member for member in schema.get("anyOf", [dict(schema)]) if member != {"type": "null"}]
    schema.clear()
    schema.update({"anyOf": [*allowed, {"type": "null"}, {"const": ""}], **described})


def no_flag(value: object) -> object:
    """Return what is meant as a number; refuse true and false, which Python takes for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    return value


# For all numbers that come from outside: a plain `int` of pydantic takes true for 1. Behind the range of an annotation,
# since OpenAPI loses a range that comes after it.
NO_FLAG = BeforeValidator(no_flag)
Number = Annotated[float, NO_FLAG]
WholeNumber = Annotated[int, NO_FLAG]


def flag(schema: dict[str, Any]) -> None:
    """Let the schema of a flag allow what forms send for true and false."""
    or_empty(schema)
    schema["anyOf"] += [{"enum": [0, 1]}, {"type": "string", "pattern": FLAG}]


class MaskOptions(Document):
    """How masks are returned."""

    mask_format: MaskFormat = Field(
        "rle",
        description="COCO compressed run lengths, polygons, PNG in base64, or no masks.",
        json_schema_extra=or_empty,
    )
    zoom: bool | None = Field(
        None,
        description="Look at small objects again, enlarged: their masks fit better, and each part of the image costs "
        "a run of `sam_encoder`. Default: the service's.",
        json_schema_extra=flag,
    )
    min_fidelity: Number = Field(
        MIN_FIDELITY,
        gt=0,
        le=1,
        description="Minimum IoU of polygons with their mask: lower values give fewer corners, 1 keeps every pixel.",
        json_schema_extra=or_empty,
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, values: object) -> object:
        # Browsers send the empty fields of a form, and some programs send null, as text too: all mean the default.
        if not isinstance(values, dict):
            return values
        kept = {"image", "tags"} if values.get("tags") is not None else {"image"}
        return {name: value for name, value in values.items() if name in kept or value not in (None, "", "null")}


class Rle(TypedDict):
    """COCO compressed run lengths, as pycocotools reads them: `size` is [height, width], `counts` ASCII."""

    size: list[int]
    counts: str


class RleMask(Document):
    """COCO compressed run lengths of the whole image, as pycocotools reads them."""

    size: tuple[WholeNumber, WholeNumber] = Field(description="Height and width in pixels.")
    counts: str

    def rle(self) -> Rle:
        """Return the run lengths in COCO's form."""
        return {"size": list(self.size), "counts": self.counts}


class PngMask(Document):
    """One-channel PNG of the whole image, 255 inside the object."""

    size: tuple[int, int] = Field(description="Height and width in pixels.")
    png_base64: str


class PolygonMask(Document):
    """Polygons, one for each part of the mask, as COCO writes them."""

    size: tuple[int, int] = Field(description="Height and width in pixels.")
    polygons: tuple[tuple[float, ...], ...] = Field(
        description="x0, y0, x1, y1, ... in pixels of the upright image, not closed. A bridge of no width leads to a "
        "hole: fill by the even-odd rule."
    )
    fidelity_iou: float = Field(description="IoU of the polygons with the mask.")


AnyMask = RleMask | PolygonMask | PngMask


def from_base64(value: object) -> object:
    """Return the bytes that base64 or a data URI in base64 stands for; raise ValueError if it is neither."""
    if not isinstance(value, str):
        raise ValueError("must be a text in base64")
    text = value
    if value.startswith(DATA_SCHEME):
        head, _, text = value.partition(",")
        if not head.endswith(DATA_MARK):
            raise ValueError("is a data URI without base64: write data:image/png;base64,...")
    try:
        # Line breaks are what the `base64` command writes.
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError as error:
        raise ValueError("is not base64: send the whole file as the command `base64` writes it") from error
