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
CHOICE_KINDS = ("choices", "taxonomy")
LABEL_KIND_END = "labels"  # of `rectanglelabels`, `bitmasklabels` and any later one
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


def annotations_of(task: Json) -> list[list[Json]]:
    """Return the rows of each annotation, the latest last; none of a task for import, which has no annotation.

    Cancelled annotations are left out, and all others if one is marked as ground truth.
    """
    if not isinstance(task.get("data"), dict):
        fields = (value for key, value in task.items() if key not in _OWN_KEYS)
        return [[{"value": value} for field in fields for value in _min_values(field)]]
    annotations = dicts(task.get("annotations", task.get("completions")))
    done = [row for row in annotations if not row.get("was_cancelled")]
    chosen = [row for row in done if row.get("ground_truth") is True] or done
    chosen.sort(key=lambda row: str(row.get("updated_at") or row.get("created_at") or ""))
    return [dicts(row.get("result")) for row in chosen]


def tags_of(row: Json) -> list[str]:
    """Return the choices of a row, and the labels of a region; of a choice below others the last name."""
    value = row.get("value")
    texts = [text for kind in CHOICE_KINDS for text in _leaves(value.get(kind))] if isinstance(value, dict) else []
    return [*texts, *labels_of(row)]


def labels_of(row: Json) -> list[str]:
    """Return the labels of a region; none if the row is something else."""
    value = row.get("value")
    members = value.items() if isinstance(value, dict) else ()
    return [name for kind, names in members if kind.lower().endswith(LABEL_KIND_END) for name in _texts(names)]


def dicts(value: Any) -> list[Json]:
    """Return the objects in a list; none if it is no list."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _tags(task: Json) -> tuple[str, ...]:
    rows = (row for annotation in annotations_of(task) for row in annotation)
    return tuple(dict.fromkeys(whole_text(tag) for row in rows for tag in tags_of(row)))


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
    """Return the values of a field of JSON_MIN as a full export has them: choices, or regions."""
    if isinstance(value, str):
        return [{"choices": value}] if _path_of_url(value) is None else []
    values = value if isinstance(value, list) else [value]
    return [item if isinstance(item, dict) else {"choices": [item]} for item in values]


def _leaves(value: Any) -> list[str]:
    """Return names; one that lies below others is a list of them all, and counts alone."""
    items = value if isinstance(value, list) else [value]
    return _texts([item[-1] if isinstance(item, list) and item else item for item in items])


def _texts(value: Any) -> list[str]:
    texts = value if isinstance(value, list) else [value]
    return [text for text in texts if isinstance(text, str)]
