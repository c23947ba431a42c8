"""Requests and responses of the service. Its OpenAPI document is made from these."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AliasChoices, BeforeValidator, ConfigDict, FailFast, Field, WithJsonSchema, model_validator

from weaksam.mask_schemas import (
    BASE64_SCHEMA,
    NO_FLAG,
    AnyMask,
    Document,
    MaskOptions,
    flag,
    from_base64,
    or_empty,
)
from weaksam.tag_texts import split_each, tidy_tags

Effort = Literal["fast", "full"]
TagStatus = Literal["found", "not_found", "unknown"]
PromptFate = Literal["kept", "dropped", "poor"]
LossStage = Literal["classifier", "proposals", "score", "limit"]
MAX_TAG_CHARACTERS = 200
# PHP and some form libraries mark a list by brackets.
TAG_FIELDS = ("tags", "tags[]")
TagText = Annotated[str, Field(max_length=MAX_TAG_CHARACTERS)]
Score = Annotated[float, Field(ge=0, le=1), NO_FLAG]
Box = tuple[float, float, float, float]


class DetectOptions(MaskOptions):
    """What to return; the same options for every kind of body."""

    min_score: Score | None = Field(
        None,
        description="Minimum score of a detection; default: calibrated per class and `source`.",
        json_schema_extra=or_empty,
    )
    max_detections: Annotated[int, Field(ge=1), NO_FLAG] | None = Field(
        None,
        description="Maximum number of detections; default: the service's limit.",
        json_schema_extra=or_empty,
    )
    effort: Effort | None = Field(
        None,
        description="`fast`: the detector first, proposals for the tags that it missed. `full`: both for every tag. "
        "Default: the bundle's.",
        json_schema_extra=or_empty,
    )
    explain: bool = Field(
        False,
        description="Also return the heat maps, peaks, prompts and proposals behind the result; implies effort=full.",
        json_schema_extra=flag,
    )
    unknown_tags: Literal["error", "skip"] = Field(
        "error",
        description="Refuse a tag that is no label, or mark it `unknown` and go on with the others.",
        json_schema_extra=or_empty,
    )


class DetectParameters(DetectOptions):
    """Everything a request says besides the image."""

    tags: Annotated[tuple[TagText, ...], FailFast(), BeforeValidator(tidy_tags)] = Field(
        (), description="What is in the image. None: the models propose tags.", json_schema_extra=or_empty
    )


class DetectFields(DetectParameters):
    """The fields of a query or a form; each `tags` may name several tags."""

    tags: Annotated[tuple[TagText, ...], FailFast(), BeforeValidator(tidy_tags), BeforeValidator(split_each)] = Field(
        (),
        validation_alias=AliasChoices(*TAG_FIELDS),
        description="What is in the image: repeated, between commas, or a JSON list. None: the models propose tags.",
        json_schema_extra=or_empty,
    )

    @model_validator(mode="before")
    @classmethod
    def _join_tags(cls, values: object) -> object:
        # Both names in one request: an alias alone would take the first, and refuse the other as unknown.
        if not isinstance(values, dict) or not values.keys() >= set(TAG_FIELDS):
            return values
        texts = [values[name] for name in TAG_FIELDS]
        joined = [text for part in texts for text in (part if isinstance(part, list | tuple) else [part])]
        return {name: value for name, value in values.items() if name not in TAG_FIELDS} | {"tags": joined}


class DetectRequest(DetectFields):
    """A whole request, as a form."""

    image: Annotated[bytes, Field(strict=True), WithJsonSchema({"type": "string", "format": "binary"})]


class JsonDetectRequest(DetectParameters):
    """A whole request, as JSON."""

    image: Annotated[bytes, BeforeValidator(from_base64), WithJsonSchema(BASE64_SCHEMA)] = Field(
        description="The file's bytes in base64, alone or in a data URI."
    )


AnyRequest = DetectRequest | JsonDetectRequest


class ImageInfo(Document):
    """The image as it was decoded: upright by its EXIF orientation."""

    width: int
    height: int
    sha256: str = Field(description="Digest of size and upright RGB pixels.")


class Detection(Document):
    """One object that was found."""

    id: str = Field(
        description="Made from the image, label and the box before any mask: equal results have equal ids, whatever "
        "the form of their masks."
    )
    label: str
    score: Score
    box_xyxy: Box = Field(description="x0, y0, x1, y1, half-open, in pixels of the upright image.")
    mask: AnyMask | None = Field(description="null with mask_format=none.")
    mask_score: float | None = Field(
        description="The mask decoder's own estimate of the mask's IoU; of a detector's own mask, the mean probability "
        "inside it."
    )
    source: Literal["detector", "wsod"] = Field(
        description="The model whose box it is: the bundle's detector, or the one that scores proposals."
    )


class TagRow(Document):
    """What became of one tag: a row of the tag ledger."""

    tag: str = Field(description="As it was sent first.")
    label: str | None = Field(description="The label it means; null if unknown.")
    status: TagStatus
    predicted: bool = Field(description="True if the models proposed it because no tags were sent.")
    count: int = Field(description="Number of detections in the result.")
    stage: LossStage | None = Field(description="The first stage that lost it; null unless `not_found`.")
    best_score: float | None = Field(
        description="Best score of any candidate box, returned or not; null if there was none."
    )
    nearest: tuple[str, ...] = Field(description="Labels spelled most like it; empty unless `unknown`.")


class PeakRow(Document):
    """A peak of a class activation map."""

    point_xy: tuple[float, float] = Field(description="x, y in pixels of the upright image.")
    value: float = Field(description="Height in the map, which is normalised to 0..1.")


class ProposalRow(Document):
    """A box that the segmenter proposed."""

    box_xyxy: Box = Field(description="x0, y0, x1, y1, half-open, in pixels of the upright image.")
    predicted_iou: float
    stability: float
    from_peak: bool = Field(description="True if peaks prompted it, false if a box, the prompt map or the grid did.")
    prompt: int = Field(description="Index in `prompts` of the prompt that it came from.")


class PromptRow(Document):
    """A prompt that was sent to the mask decoder, and what became of its masks."""

    points_xy: tuple[tuple[float, float], ...] = Field(
        description="x, y in pixels of the upright image; none if the prompt is a box."
    )
    box_xyxy: Box | None = Field(description="As that of a proposal; null if the prompt is points.")
    from_peak: bool = Field(description="True if peaks made it, false if a box, the prompt map or the grid did.")
    fate: PromptFate = Field(
        description="`kept`: a mask of it is among `proposals`. `dropped`: its masks are near-duplicates of better "
        "ones, or beyond the limit. `poor`: the decoder trusts none of its masks."
    )


class TagExplanation(Document):
    """What the classifier and the detector said about one label."""

    label: str
    classifier_score: float
    classifier_threshold: float
    min_score: float = Field(description="The score threshold that was applied.")
    cam_png_base64: str = Field(
        description="Its class activation map: a grey PNG over the whole image, 255 where it is highest."
    )
    peaks: tuple[PeakRow, ...]
    proposal_scores: tuple[float, ...] = Field(description="One for each of `proposals`.")


class Explanation(Document):
    """The evidence behind a result."""

    prompts: tuple[PromptRow, ...] = Field(description="In the order in which they were sent.")
    proposals: tuple[ProposalRow, ...] = Field(description="The boxes that were scored.")
    dropped: tuple[ProposalRow, ...] = Field(
        description="Boxes that lost their place to a near-duplicate or to the limit."
    )
    tags: tuple[TagExplanation, ...]


class BundleInfo(Document):
    """The bundle of models that made a result."""

    model_config = ConfigDict(from_attributes=True)  # of a `models.bundle.Bundle`

    name: str
    version: str
    digest: str = Field(description="sha256 of bundle.json, which holds those of all graphs.")


class DetectResult(Document):
    """The result for one image."""

    image: ImageInfo
    detections: tuple[Detection, ...] = Field(description="Best first.")
    tags: tuple[TagRow, ...] = Field(description="One row for each different tag, in the order they were sent.")
    timing_ms: dict[str, float] = Field(
        description="Wall time by stage; a model that did not run because its result was at hand is absent."
    )
    bundle: BundleInfo
    prompts_asked: int = Field(
        0,
        description="Prompts that were sent to the segmenter to make proposals; 0 if the detector had found every tag.",
    )
    warnings: tuple[str, ...] = Field((), description="What is wrong with the file, such as a missing end.")
    explain: Explanation | None = Field(None, description="null unless asked for.")


class LabelRow(Document):
    """A label of the bundle and its thresholds."""

    name: str
    aliases: tuple[str, ...]
    classifier_threshold: float
    min_score: float = Field(
        description="Minimum score of a detection with source `detector` if the request gives none; in a bundle "
        "without a detector, `wsod_min_score`."
    )
    wsod_min_score: float = Field(
        description="Minimum score of a detection with source `wsod` if the request gives none, and of a detector's "
        "box that a proposal confirms."
    )


class LabelsResponse(Document):
    """The labels of the bundle, in its order."""

    labels: tuple[LabelRow, ...]
    bundle: BundleInfo


class StateResponse(Document):
    """The state of the service."""

    status: Literal["alive", "ready"]


class ReloadResponse(Document):
    """The outcome of a reload."""

    outcome: Literal["swapped", "unchanged"] = Field(description="`swapped` if another bundle has taken over.")
    bundle: BundleInfo = Field(description="The active bundle.")
    keys: int | None = Field(description="Number of API keys known now; null if the service has no keys.")
