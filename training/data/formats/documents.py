"""Open JSON and XML files of any quality: one that cannot be read is one sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from training.data.checks import Report
from weaksam.errors import UserError
from weaksam.files.image_files import IMAGE_SUFFIXES
from weaksam.files.path_checks import is_file

_XML_ENCODING = re.compile(rb"""^\s*<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["'][^>]*\?>""")


class DocumentError(UserError):
    """A file that is no JSON or no XML; the message says why, without the file's name."""


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises:
        DocumentError: it cannot be read.
    """
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DocumentError(f"is not JSON ({error})") from error


def read_xml(path: Path) -> ET.Element:
    """Return the root of an XML file in any encoding that Python knows.

    Raises:
        DocumentError: it cannot be read, or declares entities.
    """
    try:
        data = path.read_bytes()
        if b"<!ENTITY" in data or b"<!ENTITY".decode().encode("utf-16-le") in data:
            raise DocumentError("declares entities, which annotations do not")
        declared = _XML_ENCODING.match(data)
        if declared is None:
            return ET.fromstring(data)  # noqa: S314 - files that declare entities were refused above
        # Decoded here, since expat refuses encodings such as GBK and Shift-JIS.
        text = data[declared.end() :].decode(declared[1].decode())
        return ET.fromstring(text)  # noqa: S314
    except (OSError, ValueError, LookupError, ET.ParseError, RecursionError) as error:
        if isinstance(error, DocumentError):
            raise
        raise DocumentError(f"is not well-formed ({error})") from error


def documents(folder: Path) -> Iterator[tuple[Path, Any]]:
    """Yield the JSON files in the folder itself that are not about the one image of their name."""
    for path in _json_of_many_images(folder):
        try:
            yield path, read_json(path)
        except DocumentError:
            continue


def report_damaged(folder: Path, report: Report) -> None:
    """Report JSON and XML files in the folder itself that cannot be read: one of them may hold all annotations."""
    others = ((path, read_xml) for path in sorted(folder.glob("*.xml")))
    for path, read in (*((path, read_json) for path in _json_of_many_images(folder)), *others):
        try:
            read(path)
        except DocumentError as error:
            report.add(path, "file", f"{error}; it is not read")


def _json_of_many_images(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.glob("*.json")):
        if not any(is_file(path.with_suffix(suffix)) for suffix in (*IMAGE_SUFFIXES, *map(str.upper, IMAGE_SUFFIXES))):
            yield path
