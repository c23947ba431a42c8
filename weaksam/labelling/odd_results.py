"""What has the form of a response and cannot be meant: told before it is stored, or a run would break at its end."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from weaksam.client import ServerFailed
from weaksam.errors import UserError
from weaksam.formats.run_lengths import check_mask
from weaksam.mask_schemas import RleMask
from weaksam.schemas import Box, Detection, DetectResult
from weaksam.tag_texts import fold_label

REMEDY = "check the address, or update the service"


def check_label_names(names: Sequence[str]) -> None:
    """Raise ServerFailed unless all labels of a service are names that can be told apart."""
    seen: dict[str, str] = {}
    for name in names:
        if not name.strip():
            raise _odd(f"labels: {name!r} is no name")
        folded = fold_label(name)
        if folded in seen:
            raise _odd(f"labels: {seen[folded]!r} and {name!r} are spelled alike")
        seen[folded] = name


def check_places(result: DetectResult) -> None:
    """Raise ServerFailed unless all boxes and masks of a result can be of its image, masks as run lengths."""
    for side in ("width", "height"):
        if getattr(result.image, side) < 1:
            raise _odd(f"image.{side} is {getattr(result.image, side)}")
    for number, found in enumerate(result.detections):
        if not _is_box(found.box_xyxy):
            raise _odd(f"detections[{number}].box_xyxy is {list(found.box_xyxy)}")
        _check_mask(found, (result.image.height, result.image.width), f"detections[{number}].mask")


def check_found_labels(result: DetectResult, labels: Collection[str]) -> None:
    """Raise ServerFailed unless all objects of a result are of these labels."""
    fault = label_fault(result, labels)
    if fault is not None:
        raise _odd(f"{fault}, which /labels does not list")


def label_fault(result: DetectResult, labels: Collection[str]) -> str | None:
    """Return which object of a result is of none of these labels; None if all are."""
    wrong = ((number, found.label) for number, found in enumerate(result.detections) if found.label not in labels)
    return next((f"detections[{number}].label is {label!r}" for number, label in wrong), None)


def _is_box(box_xyxy: Box) -> bool:
    x0, y0, x1, y1 = box_xyxy
    return all(map(math.isfinite, box_xyxy)) and x0 <= x1 and y0 <= y1


def _check_mask(found: Detection, size_hw: tuple[int, int], place: str) -> None:
    if found.mask is None:
        return
    if not isinstance(found.mask, RleMask):
        raise _odd(f"{place} is of polygons or PNG, not of run lengths")
    try:
        check_mask(found.mask.rle(), size_hw)
    except UserError as error:
        raise _odd(f"{place}: {error}") from error


def _odd(told: str) -> ServerFailed:
    return ServerFailed("not_the_service", f"the response cannot be meant ({told}): {REMEDY}")
