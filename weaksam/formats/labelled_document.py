"""The file `dataset.json` of a labelling run as it must be, whoever wrote it: checked before anything uses it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from weaksam.errors import UserError
from weaksam.findings import first_fault
from weaksam.formats.run_lengths import check_mask
from weaksam.mask_schemas import RleMask


def _below_the_folder(name: str) -> str:
    """Return a file's path below the folder of the images; raise UserError if it could be anywhere else."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise UserError("leads out of the folder of the images: write the path below it")
    if not path.name or "\0" in name:
        raise UserError("is no path of a file: write the path below the folder of the images")
    return name


Number = Annotated[float, Field(allow_inf_nan=False)]
Length = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Pixels = Annotated[int, Field(ge=1)]
Id = Annotated[int, Field(ge=0, lt=2**63)]  # what a review's journal can hold
DecisionState = Literal["accepted", "corrected", "rejected"]


class _Row(BaseModel):
    # COCO has members that are not needed here.
    model_config = ConfigDict(strict=True, frozen=True)


class BundleRow(_Row):
    """What found the objects; that of a later release may say more."""

    name: str
    version: str
    digest: str


class InfoRow(_Row):
    """Where a data set comes from; older runs do not say all of it."""

    bundle: BundleRow | None = None
    options: dict[str, Any] | None = None


class CategoryRow(_Row):
    """A label."""

    id: Id
    name: Annotated[str, Field(min_length=1)]


class ImageRow(_Row):
    """An image; see `LabelledImage`."""

    id: Id
    file_name: Annotated[str, AfterValidator(_below_the_folder)]
    width: Pixels
    height: Pixels
    tags: tuple[str, ...] = ()
    review: Share | None = None
    review_reason: str = ""
    sha256: str | None = None
    review_state: DecisionState | None = None


class AnnotationRow(_Row):
    """An object; `bbox` is x, y, width and height in pixels of its image."""

    image_id: int
    category_id: int
    bbox: tuple[Number, Number, Length, Length]
    score: Share | None = None
    segmentation: RleMask | None = None


class LabelledDocument(_Row):
    """The whole file."""

    info: dict[str, Any]
    categories: tuple[CategoryRow, ...]
    images: tuple[ImageRow, ...]
    annotations: tuple[AnnotationRow, ...]


class _WithInfo(_Row):
    info: InfoRow


def parse_labelled(data: bytes) -> LabelledDocument:
    """Read and check the bytes of a data set.

    Raises:
        UserError: with the member that is at fault, its value and what it must be.
    """
    try:
        document = LabelledDocument.model_validate_json(data, strict=True)
        _WithInfo.model_validate({"info": document.info})  # apart, since all other members of `info` are kept
    except ValidationError as error:
        raise UserError(first_fault(error).sentence("the file")) from error
    _check_once("categories", "id", (row.id for row in document.categories))
    _check_once("categories", "name", (row.name for row in document.categories))
    _check_once("images", "id", (row.id for row in document.images))
    _check_once("images", "file_name", (str(PurePosixPath(row.file_name)) for row in document.images))
    _check_annotations(document)
    return document


def _check_annotations(document: LabelledDocument) -> None:
    categories = {row.id for row in document.categories}
    sizes_hw = {row.id: (row.height, row.width) for row in document.images}
    for number, row in enumerate(document.annotations):
        place = f"annotations[{number}]"
        if row.category_id not in categories:
            raise UserError(f"{place}.category_id is {row.category_id}: it must be the id of a category")
        if row.image_id not in sizes_hw:
            raise UserError(f"{place}.image_id is {row.image_id}: it must be the id of an image")
        if row.segmentation is not None:
            try:
                check_mask(row.segmentation.rle(), sizes_hw[row.image_id])
            except UserError as error:
                raise UserError(f"{place}.segmentation: {error}") from error


def _check_once(table: str, member: str, values: Iterable[Hashable]) -> None:
    [(value, times)] = Counter(values).most_common(1) or [(None, 0)]
    if times > 1:
        raise UserError(f"{table} has {times} rows with the {member} {value!r}: each must have its own")
