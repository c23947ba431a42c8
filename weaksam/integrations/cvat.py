"""A function for `cvat-cli task auto-annotate`: every frame of a task goes to a service, with its tags.

cvat-cli makes it by `create`, whose arguments are given as `-p NAME=TYPE:VALUE`.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import cvat_sdk.auto_annotation as cvataa
from cvat_sdk.models import LabeledShapeRequest
from PIL import Image

from weaksam.blocking_client import Client
from weaksam.client import RequestRefused
from weaksam.errors import UserError
from weaksam.files.api_key import read_api_key
from weaksam.files.file_names import LooseIndex
from weaksam.files.tag_files import joined_rows, read_tag_table
from weaksam.formats.cvat import mask_points
from weaksam.formats.run_lengths import decode_rle
from weaksam.mask_schemas import MaskFormat, PolygonMask, RleMask
from weaksam.retry import PATIENT
from weaksam.schemas import Detection, DetectResult

PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
Shape = Literal["mask", "rectangle"]

logger = logging.getLogger(__name__)


def create(
    server: str = "http://127.0.0.1:8000", tags: str = "", shape: Shape = "mask", api_key_file: str = ""
) -> CvatFunction:
    """Return the function.

    Args:
        server: address of the service.
        tags: CSV with the columns file (name of the frame) and tags. Without it, the models propose tags.
        shape: `mask`, or `rectangle` for boxes.
        api_key_file: file with the API key, if the service wants one; or in WEAKSAM_API_KEY.

    Raises:
        UserError: `shape` is neither, or the CSV or the key cannot be read.
    """
    if shape not in ("mask", "rectangle"):
        raise UserError(f"shape is {shape!r}: give -p shape=str:mask or -p shape=str:rectangle")
    # cvat-cli uploads after the last frame: a server that restarts must not cost the frames before.
    client = Client(server, retry=PATIENT, api_key=read_api_key(Path(api_key_file) if api_key_file else None))
    names = [row.name for row in client.labels().labels]
    labels = [cvataa.label_spec(name, id_, type=shape) for id_, name in enumerate(names)]
    listed = joined_rows(read_tag_table(Path(tags))) if tags else None
    return CvatFunction(cvataa.DetectionFunctionSpec(labels=labels), client, listed, shape)


@dataclass(frozen=True)
class CvatFunction:
    """A detection function of CVAT.

    Attributes:
        spec: the labels of the service; an id is the place of a label.
        tags: tags by name of the frame; None if the models propose them.
    """

    spec: cvataa.DetectionFunctionSpec
    client: Client
    tags: Mapping[str, tuple[str, ...]] | None
    shape: Shape

    def detect(self, context: cvataa.DetectionFunctionContext, image: Image.Image) -> list[LabeledShapeRequest]:
        """Return the objects of a frame; none, and a warning, if it has no tags or the service refuses it."""
        name = context.frame_name
        tags = () if self.tags is None else self._tags_of(name, self.tags)
        if self.tags is not None and not tags:
            logger.warning("%s is left out: the file of tags has none for it", name)
            return []
        try:
            result = self._ask(context, image, tags)
        except RequestRefused as error:
            logger.warning("%s is left out: %s", name, error)
            return []
        for row in result.tags:
            if row.status == "unknown":
                logger.warning("%s: the tag %r is no label", name, row.tag)
        return list(self._shapes(name, result.detections))

    def _tags_of(self, frame_name: str, tags: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
        """Return the tags of a frame. Its name may differ from the file's in what `match_names` can put right."""
        if frame_name in tags:
            return tags[frame_name]
        meant = self._loose_names.candidates(frame_name)
        return tags[meant[0]] if len(meant) == 1 else ()

    @cached_property
    def _loose_names(self) -> LooseIndex:
        return LooseIndex(list(self.tags or ()))

    def _shapes(self, frame_name: str, detections: Sequence[Detection]) -> Iterator[LabeledShapeRequest]:
        """Yield the shapes of a frame. An empty mask is logged: cvat-cli refuses a rectangle among masks."""
        ids = {label.name: label.id for label in self.spec.labels}
        for group, found in enumerate(detections, 1):
            shapes = list(_shapes(found, ids, group))
            if not shapes:
                box = [round(side, 1) for side in found.box_xyxy]
                logger.warning("%s: %s at %s is left out, its mask is empty", frame_name, found.label, box)
            yield from shapes

    def _ask(self, context: cvataa.DetectionFunctionContext, image: Image.Image, tags: tuple[str, ...]) -> DetectResult:
        outlined: MaskFormat = "polygon" if context.conv_mask_to_poly else "rle"
        return self.client.detect(
            _png(image),
            tags,
            min_score=context.conf_threshold,
            mask_format="none" if self.shape == "rectangle" else outlined,
            unknown_tags="skip",
        )


def _png(image: Image.Image) -> bytes:
    """Return a frame as a file, with its transparent parts and all its bits: the service says how they are seen."""
    file = io.BytesIO()
    kept = image if image.mode in PNG_MODES else image.convert("RGB")
    kept.save(file, "PNG", compress_level=1, exif=b"")  # CVAT has turned the frame upright
    return file.getvalue()


def _shapes(found: Detection, ids: Mapping[str, int], group: int) -> Iterator[LabeledShapeRequest]:
    """Yield the shape of an object; of one that has several polygons all, in a group."""
    id_: Any = ids[found.label]
    if isinstance(found.mask, PolygonMask):
        parts = found.mask.polygons
        grouped = {"group": group} if len(parts) > 1 else {}
        yield from (cvataa.polygon(id_, list(ring), **grouped) for ring in parts)
    elif isinstance(found.mask, RleMask):
        mask_hw = decode_rle(found.mask.rle())
        if mask_hw.any():
            yield cvataa.mask(id_, mask_points(mask_hw))
    else:
        yield cvataa.rectangle(id_, list(found.box_xyxy))
