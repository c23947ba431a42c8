"""Reader for Label Studio's JSON exports, full and JSON_MIN: ROOT/any.json beside the images.

Choices give an image its tags, and so do the labels of its regions; rectangles and polygons are objects too. A task
whose annotation is empty is a negative; one without an annotation is reported and left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from training.data.checks import Report, merged_labels, read_labels_txt
from training.data.formats.documents import documents
from training.data.locate import image_id, is_file, locate, report_unnamed
from training.data.splits import read_split
from training.data.tagged import Box, TaggedDataset
from training.data.written import Polygon, WrittenImage, WrittenObject, checked_dataset
from weaksam.files.image_files import IMAGE_SUFFIXES, UNSUPPORTED_SUFFIXES

Json = dict[str, Any]
FOLDERS = ("", "images")
LABEL_KINDS = ("rectanglelabels", "polygonlabels", "brushlabels", "keypointlabels", "ellipselabels", "labels")
# An uploaded file is stored as eight hexadecimal digits, a hyphen and its own name.
_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-")
_OWN_KEYS = {"id", "annotation_id", "annotator", "created_at", "updated_at", "lead_time"}


def is_label_studio(root: Path) -> bool:
    return _tasks(root) is not None


def read_label_studio(root: Path, split: str) -> TaggedDataset:
    """Read the images of the export, which are one training split.

    Raises:
        ValueError: there is no such split.
    """
    return read_split(root.name, split, ("train",), lambda _: _read(root))


def _tasks(root: Path) -> tuple[Path, list[Json]] | None:
    for path, document in documents(root):
        tasks = [task for task in document if isinstance(task, dict)] if isinstance(document, list) else []
        if any(_is_full(task) or _image_of(task) is not None for task in tasks):
            return path, tasks
    return None


def _is_full(task: Json) -> bool:
    return isinstance(task.get("data"), dict) and ("annotations" in task or "completions" in task)


def _read(root: Path) -> TaggedDataset:
    found = _tasks(root)
    assert found is not None, "is_label_studio has seen to it"
    source, tasks = found
    report = Report(root)
    names = {number: _image_of(task) for number, task in enumerate(tasks)}
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
    parts = PurePosixPath(name)
    return name if stored else str(parts.with_name(_UPLOAD_PREFIX.sub("", parts.name) or parts.name))


def _image_of(task: Json) -> str | None:
    """Return the image of a task as a path: of a full export, or of JSON_MIN, which has the data beside the results."""
    data = task["data"] if isinstance(task.get("data"), dict) else task
    values = [value for key, value in data.items() if key not in _OWN_KEYS and isinstance(value, str)]
    return next((path for value in values if (path := _path_of_url(value)) is not None), None)


def _path_of_url(text: str) -> str | None:
    """Return the file that a URL, a path or Label Studio's /data/local-files/?d=PATH means, if it is an image's."""
    try:
        url = urlsplit(text)
        local = parse_qs(url.query).get("d")
    except ValueError:
        return None
    path = local[0] if local else unquote(url.path)
    name = PurePosixPath(path.replace("\\", "/"))
    if name.suffix.lower() not in (*IMAGE_SUFFIXES, *UNSUPPORTED_SUFFIXES):
        return None
    # The folders of an address are not those on this disk.
    return name.name if url.scheme or path.startswith("/data/upload/") else path


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
    results = _results(task)
    if results is None:
        report.add(path, field, "the task has no annotation; the image is left out")
        return None
    return WrittenImage(
        image_id(root, path),
        path,
        source,
        field,
        tags=tuple(tag for row in results for tag in _choices(row)),
        objects=tuple(thing for row in results for thing in _regions(row, field)),
        size_hw=_size_hw(results),
        in_shares=True,
    )


def _results(task: Json) -> list[Json] | None:
    """Return the rows of all annotations that were not cancelled; None if there is none."""
    if not _is_full(task):
        return [{"value": value} for key, value in task.items() if key not in _OWN_KEYS for value in _min_values(value)]
    annotations = _dicts(task.get("annotations", task.get("completions")))
    done = [row for row in annotations if not row.get("was_cancelled")]
    return [row for one in done for row in _dicts(one.get("result"))] if done else None


def _dicts(value: Any) -> list[Json]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _min_values(value: Any) -> list[Any]:
    """Return the values of a field of JSON_MIN as a full export has them: one choice, several, or regions."""
    if isinstance(value, str):
        return [{"choices": value}] if _path_of_url(value) is None else []
    return value if isinstance(value, list) else [value]


def _choices(row: Json) -> list[str]:
    value = row.get("value")
    return _texts(value.get("choices")) if isinstance(value, dict) else []


def _texts(value: Any) -> list[str]:
    texts = value if isinstance(value, list) else [value]
    return [text for text in texts if isinstance(text, str)]


def _regions(row: Json, field: str) -> Iterator[WrittenObject]:
    value = row.get("value")
    if not isinstance(value, dict):
        return
    names = [name for kind in LABEL_KINDS for name in _texts(value.get(kind))]
    polygon = _polygon(value)
    for name in names:
        yield WrittenObject(name, (field, field, field), _box(value, polygon), polygons=(polygon,) if polygon else ())


def _polygon(value: Json) -> Polygon:
    try:
        return [float(side) / 100 for x, y in value.get("points") or () for side in (x, y)]
    except (TypeError, ValueError, OverflowError):
        return ()


def _box(value: Json, polygon: Polygon) -> Box | None:
    if polygon:
        return min(polygon[::2]), min(polygon[1::2]), max(polygon[::2]), max(polygon[1::2])
    try:
        x, y, width, height = (float(value[side]) / 100 for side in ("x", "y", "width", "height"))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return (x, y, x + width, y + height) if value.get("rotation", 0) == 0 else None


def _size_hw(results: list[Json]) -> tuple[int, int] | None:
    """Return the size that the regions were drawn on, if all say the same."""
    sizes = [(row.get("original_height"), row.get("original_width")) for row in results if "original_width" in row]
    height, width = sizes[0] if sizes and all(size == sizes[0] for size in sizes) else (None, None)
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None
