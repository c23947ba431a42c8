"""Label Studio's JSON exports, full and JSON_MIN: which image each task shows, and what was chosen for it."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from weaksam.files.image_files import IMAGE_SUFFIXES, UNSUPPORTED_SUFFIXES
from weaksam.files.tag_files import TagFileError, TaggedFile
from weaksam.tag_texts import whole_text

Json = dict[str, Any]
LABEL_KINDS = ("rectanglelabels", "polygonlabels", "brushlabels", "keypointlabels", "ellipselabels", "labels")
# An uploaded file is stored as eight hexadecimal digits, a hyphen and its own name.
_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-")
_OWN_KEYS = {"id", "annotation_id", "annotator", "created_at", "updated_at", "lead_time"}


def read_label_studio_tags(path: Path, stored: frozenset[str]) -> tuple[TaggedFile, ...]:
    """Return the tags of each task: its choices, and the labels of its regions.

    Args:
        path: an export of annotations.
        stored: paths of the images at hand; a name keeps the prefix of an upload only if it is one of them.

    Raises:
        TagFileError: the file is no export.
    """
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise TagFileError("json", f"{path} cannot be read as JSON ({error})") from error
    tasks = export_tasks(document)
    if tasks is None:
        raise TagFileError("json", f"{path} is no JSON export of Label Studio: it names no image")
    named = [(number, task, name) for number, task in enumerate(tasks, 1) if (name := image_of(task)) is not None]
    return tuple(
        TaggedFile(number, name if name in stored else without_upload_prefix(name), _tags(task))
        for number, task, name in named
    )


def export_tasks(document: Any) -> list[Json] | None:
    """Return the tasks in a JSON document; None if it is no export."""
    tasks = dicts(document)
    return tasks if any(is_full(task) or image_of(task) is not None for task in tasks) else None


def is_full(task: Json) -> bool:
    """Return whether a task is of a full export, which keeps data and annotations apart."""
    return isinstance(task.get("data"), dict) and ("annotations" in task or "completions" in task)


def image_of(task: Json) -> str | None:
    """Return the image of a task as a path: of a full export, or of JSON_MIN, which has the data beside the results."""
    data = task["data"] if isinstance(task.get("data"), dict) else task
    values = [value for key, value in data.items() if key not in _OWN_KEYS and isinstance(value, str)]
    return next((path for value in values if (path := _path_of_url(value)) is not None), None)


def without_upload_prefix(name: str) -> str:
    """Return the name that a file had before it was uploaded."""
    parts = PurePosixPath(name)
    return str(parts.with_name(_UPLOAD_PREFIX.sub("", parts.name) or parts.name))


def results_of(task: Json) -> list[Json] | None:
    """Return the rows of all annotations that were not cancelled; None if there is none, as in a file for import."""
    if not isinstance(task.get("data"), dict):
        return [{"value": value} for key, value in task.items() if key not in _OWN_KEYS for value in _min_values(value)]
    annotations = dicts(task.get("annotations", task.get("completions")))
    done = [row for row in annotations if not row.get("was_cancelled")]
    return [row for one in done for row in dicts(one.get("result"))] if done else None


def choices_of(row: Json) -> list[str]:
    """Return the choices of a row; none if it is something else."""
    value = row.get("value")
    return _texts(value.get("choices")) if isinstance(value, dict) else []


def labels_of(row: Json) -> list[str]:
    """Return the labels of a region; none if the row is something else."""
    value = row.get("value")
    return [name for kind in LABEL_KINDS for name in _texts(value.get(kind))] if isinstance(value, dict) else []


def dicts(value: Any) -> list[Json]:
    """Return the objects in a list; none if it is no list."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _tags(task: Json) -> tuple[str, ...]:
    rows = results_of(task) or []
    return tuple(dict.fromkeys(whole_text(tag) for row in rows for tag in (*choices_of(row), *labels_of(row))))


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


def _min_values(value: Any) -> list[Any]:
    """Return the values of a field of JSON_MIN as a full export has them: one choice, several, or regions."""
    if isinstance(value, str):
        return [{"choices": value}] if _path_of_url(value) is None else []
    return value if isinstance(value, list) else [value]


def _texts(value: Any) -> list[str]:
    texts = value if isinstance(value, list) else [value]
    return [text for text in texts if isinstance(text, str)]
