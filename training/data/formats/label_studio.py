"""Reader for Label Studio's JSON exports, full and JSON_MIN: ROOT/any.json beside the images.

Choices give an image its tags, and so do the labels of its regions. Rectangles, ellipses, polygons and brush strokes
are objects too. A task whose annotation is empty is a negative; one without an annotation is reported and left out.
Of several annotations, tags are those of all and objects those of the latest; ground truth goes before the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training.data.checks import Report, merged_labels, read_labels_txt
from training.data.formats.documents import documents
from training.data.locate import image_id, locate, report_unnamed
from training.data.numbers import declared_size_hw, written_number
from training.data.outlines import Points, ellipse_px, finite_number, positive_number, turned_rectangle_px
from training.data.polygons import check_mask_size, polygons_box, shown_value
from training.data.splits import read_split
from training.data.tagged import TaggedDataset
from training.data.written import Polygon, WrittenImage, WrittenObject, checked_dataset
from weaksam.errors import UserError
from weaksam.files.label_studio_export import (
    Json,
    annotations_of,
    export_tasks,
    image_of,
    labels_of,
    tags_of,
    without_upload_prefix,
)
from weaksam.files.path_checks import is_file
from weaksam.formats.label_studio_regions import brush_mask
from weaksam.formats.run_lengths import encode_rle, rle_box
from weaksam.mask_schemas import Rle
from weaksam.schemas import Box

FOLDERS = ("", "images")
BOX_SIDES = ("x", "y", "width", "height")
ELLIPSE_SIDES = ("x", "y", "radiusX", "radiusY")
# `image_rotation` of a row is left aside: it says how far the person had turned the picture on the screen. Label Studio
# 1.23 turns its stage back before it takes a place (`fixZoomedCoords` in tags/object/Image/Image.js of its editor) or a
# stroke (`Region2RLE` in utils/canvas.js), so shares and both sizes are of the picture that is not turned. It does not
# read the member again, and neither do the converters of its SDK.
SIZE_UNKNOWN = "the rows do not say one size, `original_width` and `original_height`"


def is_label_studio(root: Path) -> bool:
    return _tasks(root) is not None


def read_label_studio(root: Path, split: str) -> TaggedDataset:
    """Read the images of the export, which are one training split.

    Raises:
        UserError: there is no such split.
    """
    return read_split(root.name, split, ("train",), lambda _: _read(root))


def _tasks(root: Path) -> tuple[Path, list[Json]] | None:
    for path, document in documents(root):
        tasks = export_tasks(document)
        if tasks is not None:
            return path, tasks
    return None


def _read(root: Path) -> TaggedDataset:
    found = _tasks(root)
    assert found is not None, "is_label_studio has seen to it"
    source, tasks = found
    report = Report(root)
    names = {number: image_of(task) for number, task in enumerate(tasks)}
    paths = locate(root, _file_names(root, names.values()), FOLDERS, source, report)
    images = [
        written
        for number, task in enumerate(tasks)
        if (written := _written(root, source, number, task, names[number], paths, report)) is not None
    ]
    report_unnamed(root, paths.values(), f"{source.name} does not name the image", report)
    labels = read_labels_txt(root) or merged_labels(name for image in images for name in image.names if name.strip())
    return checked_dataset(root.name, labels, images, report)


def _file_names(root: Path, names: Any) -> Iterator[str]:
    """Yield the name of each task's image, without the prefix of an upload unless the file on disk has it."""
    yield from (_own_name(root, name) for name in names if name is not None)


def _own_name(root: Path, name: str) -> str:
    stored = any(is_file(root / folder / name) for folder in FOLDERS)
    return name if stored else without_upload_prefix(name)


def _written(
    root: Path, source: Path, number: int, task: Json, name: str | None, paths: dict[str, Path], report: Report
) -> WrittenImage | None:
    field = f"task {task.get('id', number)}"
    if name is None:
        report.add(source, field, "names no image; it is left out")
        return None
    path = paths.get(_own_name(root, name))
    if path is None:
        return None  # reported as ambiguous
    annotations = annotations_of(task)
    if not annotations:
        report.add(path, field, "the task has no annotation; the image is left out")
        return None
    if len(annotations) > 1:  # of all of them, each object would stand there several times
        message = f"it has {len(annotations)} annotations: tags are those of all, objects those of the latest"
        report.add(path, field, f"{message}; mark the best one as ground truth")
    results = [row for annotation in annotations for row in annotation]
    size_hw = _size_hw(results)
    named = {row.get("id") for row in results if tags_of(row)}
    return WrittenImage(
        image_id(root, path),
        path,
        source,
        field,
        tags=tuple(tag for row in results for tag in tags_of(row)),
        objects=tuple(
            thing
            for row in annotations[-1]
            for thing in _regions(row, row.get("id") in named, size_hw, field, source, report)
        ),
        size_hw=size_hw,
        in_shares=True,
    )


def _regions(
    row: Json, named: bool, size_hw: tuple[int, int] | None, field: str, source: Path, report: Report
) -> Iterator[WrittenObject]:
    """Yield the objects of a row, one for each label; `named` tells if any row of its region has a name."""
    value = row.get("value")
    if not isinstance(value, dict):
        return
    polygon: Polygon = ()
    rle = box = None
    try:
        polygon, rle = _polygon(value, size_hw), _brush_rle(value, size_hw)
        box = _box(value, polygon, rle)
    except (TypeError, ValueError, OverflowError) as error:
        report.add(source, field, f"{_place_words(value, error)}; the region is a tag alone")
    # Something was drawn: without a name it is reported, and does not make the image a negative.
    nameless = [""] if box is not None and not named else []
    for name in labels_of(row) or nameless:
        yield WrittenObject(name, (field, field, field), box, rle, (polygon,) if polygon else ())


def _place_words(value: Json, error: Exception) -> str:
    if "rle" in value:
        return f"its brush strokes cannot be read ({error})"
    if isinstance(error, UserError):
        return str(error)
    place = shown_value(value.get("points") or [value.get(side) for side in BOX_SIDES])
    return f"{place} is not the place of a region, in numbers"


def _polygon(value: Json, size_hw: tuple[int, int] | None) -> Polygon:
    """Return the outline of a polygon, an ellipse or a turned rectangle, in shares; nothing of another region."""
    if value.get("points"):
        return [written_number(side) / 100 for x, y in value["points"] for side in (x, y)]
    is_ellipse, is_box = (all(side in value for side in sides) for sides in (ELLIPSE_SIDES, BOX_SIDES))
    if not is_ellipse and not is_box:
        return ()
    clockwise_deg = finite_number("rotation", value.get("rotation") or 0)
    if is_box and clockwise_deg % 360 == 0:
        return ()
    height, width = size_hw_px = _size_to_turn_in(clockwise_deg, size_hw)
    outline = _ellipse if is_ellipse else _turned_rectangle
    return (outline(value, clockwise_deg, size_hw_px) / (width, height)).ravel().tolist()


def _size_to_turn_in(clockwise_deg: float, size_hw: tuple[int, int] | None) -> tuple[float, float]:
    """Return the size whose pixels are square; what is upright is the same in any size."""
    if clockwise_deg % 360 == 0:
        return 1, 1
    if size_hw is None:
        raise UserError(f"it is turned by {clockwise_deg:g} degrees, and {SIZE_UNKNOWN}")
    return size_hw


def _ellipse(value: Json, clockwise_deg: float, size_hw: tuple[float, float]) -> Points:
    """Return the outline in pixels; `x` and `y` are the centre, whatever Label Studio's documentation says."""
    height, width = size_hw
    x, y = (finite_number(name, value[name]) / 100 for name in ("x", "y"))
    radius_x, radius_y = (positive_number(name, value[name]) / 100 for name in ("radiusX", "radiusY"))
    return ellipse_px((x * width, y * height), (radius_x * width, radius_y * height), clockwise_deg)


def _turned_rectangle(value: Json, clockwise_deg: float, size_hw: tuple[float, float]) -> Points:
    """Return the corners in pixels; Label Studio keeps where the top left one lies after the turn."""
    height, width = size_hw
    x, y = (finite_number(name, value[name]) / 100 for name in ("x", "y"))
    wide, high = (positive_number(name, value[name]) / 100 for name in ("width", "height"))
    box = (x * width, y * height, (x + wide) * width, (y + high) * height)
    return turned_rectangle_px(box, box[:2], clockwise_deg)


def _brush_rle(value: Json, size_hw: tuple[int, int] | None) -> Rle | None:
    if "rle" not in value:
        return None
    if size_hw is None:
        raise UserError(SIZE_UNKNOWN)
    check_mask_size(size_hw)
    return encode_rle(brush_mask(value["rle"], size_hw))


def _box(value: Json, polygon: Polygon, rle: Rle | None) -> Box | None:
    if rle is not None:
        (x0, y0, x1, y1), (high, wide) = rle_box(rle), rle["size"]
        return x0 / wide, y0 / high, x1 / wide, y1 / high
    if polygon:
        return polygons_box([polygon])
    if not all(side in value for side in BOX_SIDES):
        return None  # a key point
    x, y, width, height = (written_number(value[side]) / 100 for side in BOX_SIDES)
    return x, y, x + width, y + height


def _size_hw(results: list[Json]) -> tuple[int, int] | None:
    """Return the size that the regions were drawn on, if all say the same; JSON_MIN has it in their values."""
    rows = [{**value, **row} if isinstance(value := row.get("value"), dict) else row for row in results]
    sizes = [(row.get("original_height"), row.get("original_width")) for row in rows if "original_width" in row]
    return declared_size_hw(*sizes[0]) if sizes and all(size == sizes[0] for size in sizes) else None
