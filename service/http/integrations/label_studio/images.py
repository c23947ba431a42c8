"""Where the image of a task lies."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from service.errors import ImageUrlRefused

# Label Studio gives these to whoever may see the task.
STORAGE_SCHEMES = frozenset({"s3", "gs", "azure-blob"})


def image_url(task: Mapping[str, Any], field: str, base_url: str | None) -> str:
    """Return the URL of a task's image.

    Args:
        field: of the task's data, which holds a URL, a path on Label Studio or an address in a cloud storage.
        base_url: of Label Studio; None if it is not configured.

    Raises:
        ImageUrlRefused: the field is no text, or needs Label Studio and none is configured.
    """
    data = task.get("data")
    text = data.get(field) if isinstance(data, dict) else None
    if not isinstance(text, str) or not text:
        raise ImageUrlRefused(f"the task's data has no image in {field!r}")
    scheme = text.partition(":")[0].lower()
    if not text.startswith("/") and scheme not in STORAGE_SCHEMES:
        return text
    if base_url is None:
        raise ImageUrlRefused("the image lies in Label Studio: set WEAKSAM_LABEL_STUDIO_URL")
    if scheme in STORAGE_SCHEMES:
        # It redirects to an address that is valid for some minutes.
        coded = base64.urlsafe_b64encode(text.encode()).decode()
        return f"{base_url}/tasks/{task.get('id')}/resolve/?fileuri={coded}"
    prefix = urlsplit(base_url).path
    return base_url.removesuffix(prefix) + text if prefix and text.startswith(f"{prefix}/") else base_url + text
