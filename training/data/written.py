"""What a reader finds in an annotation file, before it is checked against the image that it is about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pycocotools import mask as coco_mask

from training.data.checks import KnownLabels, Report, checked_box
from training.data.image_header import ImageHeader, UnusableImageError, read_header
from training.data.polygons import MaskError, polygons_rle
from training.data.tagged import TaggedDataset, TaggedImage, TrueObject
from training.data.turns import turn_box, turn_mask
from weaksam.mask_schemas import Rle
from weaksam.schemas import Box

Polygon = Sequence[float]


@dataclass(frozen=True)
class WrittenObject:
    """An object as written: in pixels, half-open, or in shares of the image's sides.

    Attributes:
        fields: where in the file its name, its box and its mask stand, for the report.
        polygons: x,y,x,y,... of each part of the mask; ignored if there is an `rle`.
    """

    name: str
    fields: tuple[str, str, str]
    box_xyxy: Box | None = None
    rle: Rle | None = None
    polygons: tuple[Polygon, ...] = ()
    difficult: bool = False


@dataclass(frozen=True)
class WrittenImage:
    """What a file says about one image.

    Attributes:
        id: becomes the id of the `TaggedImage`.
        path: of the image.
        source: the annotation file; `field` is the image's place in it.
        size_hw: as the file declares it, if it does.
        confirmed: see `TaggedImage`.
        in_shares: boxes and polygons are shares of the image's sides, 0 to 1.
    """

    id: str
    path: Path
    source: Path
    field: str = "image"
    tags: tuple[str, ...] = ()
    objects: tuple[WrittenObject, ...] = ()
    size_hw: tuple[int, int] | None = None
    confirmed: bool | None = None
    in_shares: bool = False

    @property
    def names(self) -> Iterator[str]:
        """All class names of the image as written."""
        yield from self.tags
        yield from (thing.name for thing in self.objects)


def checked_dataset(name: str, labels: Sequence[str], images: Iterable[WrittenImage], report: Report) -> TaggedDataset:
    """Check images against their files; what cannot be used is reported and left out."""
    known = KnownLabels.of(labels)
    kept: dict[str, TaggedImage] = {}
    for written in images:
        if written.id in kept:
            report.add(written.path, "id", f"another image has the id {written.id!r} too; the image is left out")
            continue
        image = _checked_image(written, known, report)
        if image is not None:
            kept[image.id] = image
    return report.dataset(name, labels, kept.values())


def _checked_image(written: WrittenImage, known: KnownLabels, report: Report) -> TaggedImage | None:
    try:
        header = read_header(written.path)
    except UnusableImageError as error:
        report.add(written.path, "image", f"{error}; the image is left out")
        return None
    labels = [known.checked(tag, written.source, "tags", report) for tag in written.tags]
    tags = {label for label in labels if label is not None}
    frame = _Frame.of(written, header, report)
    objects = []
    for thing in written.objects:
        label = known.checked(thing.name, written.source, thing.fields[0], report)
        if label is None:
            continue
        tags.add(label)
        found = None if frame is None else frame.place(thing, label, written.source, report)
        if found is not None:
            objects.append(found)
    if not tags and list(written.names):  # nothing is known about it, so it is no negative either
        report.add(written.path, "tags", "none of its classes is a label; the image is left out")
        return None
    return TaggedImage(written.id, written.path, header.size_hw, tuple(sorted(tags)), tuple(objects), written.confirmed)


@dataclass(frozen=True)
class _Frame:
    """The frame that an image's objects are written in: its size there, and how that is turned upright."""

    size_hw: tuple[int, int]
    orientation: int
    in_shares: bool

    @staticmethod
    def of(written: WrittenImage, header: ImageHeader, report: Report) -> _Frame | None:
        """Return the frame, or None with a report if the declared size is neither the upright nor the stored one."""
        declared = written.size_hw
        if declared is None or declared == header.size_hw:
            return _Frame(header.size_hw, 1, written.in_shares)
        if declared == header.stored_size_hw:
            return _Frame(declared, header.orientation, written.in_shares)
        if written.objects:
            (height, width), (true_height, true_width) = declared, header.size_hw
            message = (
                f"the file says {width}x{height}, the image is {true_width}x{true_height}: its tags are used, its "
                "boxes are left out"
            )
            report.add(written.source, written.field, message)
        return None

    def place(self, thing: WrittenObject, label: str, source: Path, report: Report) -> TrueObject | None:
        """Return the object in the upright image; None if its box cannot be used."""
        if thing.box_xyxy is None:
            return None
        box = turn_box(self._scaled_box(thing.box_xyxy), self.size_hw, self.orientation)
        upright_hw = self.size_hw if self.orientation in (1, 2, 3, 4) else self.size_hw[::-1]
        inside = checked_box(box, upright_hw, source, thing.fields[1], report)
        if inside is None:
            return None
        return TrueObject(label, inside, self._mask(thing, source, report), thing.difficult)

    def _scaled_box(self, box_xyxy: Box) -> Box:
        height, width = self.size_hw if self.in_shares else (1, 1)
        x0, y0, x1, y1 = box_xyxy
        return x0 * width, y0 * height, x1 * width, y1 * height

    def _scaled(self, polygon: Polygon) -> Polygon:
        sides = self.size_hw[::-1]
        return [value * sides[odd % 2] for odd, value in enumerate(polygon)] if self.in_shares else polygon

    def _mask(self, thing: WrittenObject, source: Path, report: Report) -> Rle | None:
        try:
            rle = thing.rle
            if rle is None and thing.polygons:
                rle = polygons_rle([self._scaled(polygon) for polygon in thing.polygons], self.size_hw)
            if rle is not None and tuple(rle["size"]) != self.size_hw:
                raise MaskError(f"its size is {list(rle['size'])}, the image's {list(self.size_hw)}")
            if rle is not None and not coco_mask.area(rle):
                raise MaskError("it covers no pixel")
        except MaskError as error:
            report.add(source, thing.fields[2], f"{error}; no mask")
            return None
        return rle if rle is None or self.orientation == 1 else turn_mask(rle, self.orientation)
