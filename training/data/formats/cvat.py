"""Reader for CVAT's XML ("CVAT for images 1.1"): ROOT/annotations.xml beside the images, or beside images/.

Tags (`<tag>`) and shapes give an image its tags; boxes, polygons, ellipses and masks are objects too. An image without
any is a negative. `subset` attributes are splits.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from training.data.checks import Report, distinct_labels, merged_labels
from training.data.formats.documents import DocumentError, read_xml
from training.data.locate import entries, image_id, locate, report_unnamed
from training.data.numbers import declared_size_hw
from training.data.outlines import Points, ellipse_px, finite_number, positive_number, turned_rectangle_px
from training.data.polygons import check_mask_size, polygons_box, shown_value
from training.data.splits import read_split, split_of_name
from training.data.tagged import TaggedDataset
from training.data.written import Polygon, WrittenImage, WrittenObject, checked_dataset
from weaksam.errors import UserError
from weaksam.formats.cvat import uncropped_mask
from weaksam.formats.run_lengths import encode_rle, rle_box
from weaksam.mask_schemas import Rle
from weaksam.schemas import Box

FOLDERS = ("", "images")
BOX_SIDES = ("xtl", "ytl", "xbr", "ybr")
TURNED = ("box", "ellipse")  # by their `rotation`
SHAPES = ("box", "polygon", "polyline", "points", "mask", "ellipse", "cuboid", "skeleton")


def is_cvat(root: Path) -> bool:
    return _document(root) is not None


def read_cvat(root: Path, split: str) -> TaggedDataset:
    """Read the images of one split; see `read_split` for `val` and `fit`.

    Raises:
        UserError: there is no such split.
    """
    found = _document(root)
    assert found is not None, "is_cvat has seen to it"
    path, document = found
    groups: dict[str, list[ET.Element]] = {}
    for node in document.iter("image"):
        groups.setdefault(split_of_name(node.get("subset") or "train").lower(), []).append(node)
    if "train" not in groups and len(groups) == 1:  # `default`, say
        groups = {"train": next(iter(groups.values()))}
    return read_split(root.name, split, groups or {"train": []}, lambda name: _read(root, path, document, groups, name))


def _document(root: Path) -> tuple[Path, ET.Element] | None:
    for path in entries(root):
        if path.suffix.lower() == ".xml":
            try:
                document = read_xml(path)
            except DocumentError:
                continue
            if document.tag == "annotations" and document.find("image") is not None:
                return path, document
    return None


def _read(
    root: Path, path: Path, document: ET.Element, groups: dict[str, list[ET.Element]], split: str
) -> TaggedDataset:
    report = Report(root)
    nodes = groups.get(split, [])
    paths_of = {
        name: _paths(root, group, path, report if name == split else Report(root)) for name, group in groups.items()
    }
    paths = paths_of.get(split, {})
    images = [
        _written(root, path, paths[name], node, report) for node in nodes if (name := node.get("name") or "") in paths
    ]
    named = (file for files in paths_of.values() for file in files.values())
    report_unnamed(root, named, f"{path.name} does not name the image", report)
    declared = [(node.findtext("name") or "").strip() for node in document.iterfind("meta//labels/label")]
    names = [name for node in document.iter("image") for thing in node if (name := (thing.get("label") or "").strip())]
    labels = distinct_labels(name for name in declared if name) or merged_labels(names)
    return checked_dataset(f"{root.name}/{split}", labels, images, report)


def _paths(root: Path, nodes: list[ET.Element], source: Path, report: Report) -> dict[str, Path]:
    subsets = dict.fromkeys(f"images/{subset}" for node in nodes if (subset := node.get("subset")))
    return locate(root, (node.get("name") or "" for node in nodes), (*FOLDERS, *subsets), source, report)


def _written(root: Path, source: Path, path: Path, node: ET.Element, report: Report) -> WrittenImage:
    field = f"image {node.get('name')!r}"
    size_hw = declared_size_hw(node.get("height"), node.get("width"))
    return WrittenImage(
        image_id(root, path),
        path,
        source,
        field,
        tags=tuple(thing.get("label") or "" for thing in node.iterfind("tag")),
        objects=tuple(
            _object(thing, size_hw, f"{field}: {thing.tag}", source, report) for thing in node if thing.tag in SHAPES
        ),
        size_hw=size_hw,
    )


def _object(
    node: ET.Element, size_hw: tuple[int, int] | None, field: str, source: Path, report: Report
) -> WrittenObject:
    name, fields = node.get("label") or "", (field, field, field)
    try:
        if node.tag == "mask":
            rle = _mask_rle(node, size_hw)
            return WrittenObject(name, fields, rle_box(rle), rle)
        polygon = _polygon(node)
        box = polygons_box([polygon]) if polygon else _box(node)
    except ValueError as error:
        report.add(source, field, f"{_place_words(node, error)}; the object is a tag alone")
        return WrittenObject(name, fields)
    return WrittenObject(name, fields, box, polygons=(polygon,) if polygon else ())


def _place_words(node: ET.Element, error: Exception) -> str:
    if node.tag == "mask":
        return f"it cannot be read ({error})"
    if isinstance(error, UserError):
        return str(error)
    place = shown_value(node.get("points") or [node.get(side) for side in BOX_SIDES])
    return f"{place} is not the place of a {node.tag}, in numbers"


def _mask_rle(node: ET.Element, size_hw: tuple[int, int] | None) -> Rle:
    if size_hw is None:
        raise UserError("its image has no `width` and `height`")
    check_mask_size(size_hw)
    lengths = [int(length) for length in (node.get("rle") or "").split(",")]
    left, top, width, height = (int(node.get(side) or "") for side in ("left", "top", "width", "height"))
    return encode_rle(uncropped_mask(lengths, (left, top, width, height), size_hw))


def _box(node: ET.Element) -> Box | None:
    if node.tag != "box":
        return None
    x0, y0, x1, y1 = (float(node.get(name) or 0) for name in BOX_SIDES)
    return x0, y0, x1, y1


def _polygon(node: ET.Element) -> Polygon:
    """Return the outline of a polygon, an ellipse or a turned box; nothing of another shape."""
    if node.tag == "polygon":
        points = [pair.split(",") for pair in (node.get("points") or "").split(";")]
        return [float(value) for x, y in points for value in (x, y)]
    if node.tag not in TURNED:
        return ()
    clockwise_deg = finite_number("rotation", node.get("rotation") or 0)
    if node.tag == "box" and clockwise_deg % 360 == 0:
        return ()
    outline = _ellipse if node.tag == "ellipse" else _turned_box
    return outline(node, clockwise_deg).ravel().tolist()


def _ellipse(node: ET.Element, clockwise_deg: float) -> Points:
    x, y = (finite_number(name, node.get(name)) for name in ("cx", "cy"))
    radius_x, radius_y = (positive_number(name, node.get(name)) for name in ("rx", "ry"))
    return ellipse_px((x, y), (radius_x, radius_y), clockwise_deg)


def _turned_box(node: ET.Element, clockwise_deg: float) -> Points:
    """Return the corners of a box; CVAT turns it around its centre."""
    x0, y0, x1, y1 = (finite_number(name, node.get(name)) for name in BOX_SIDES)
    width, height = positive_number("xbr - xtl", x1 - x0), positive_number("ybr - ytl", y1 - y0)
    return turned_rectangle_px((x0, y0, x1, y1), (x0 + width / 2, y0 + height / 2), clockwise_deg)
