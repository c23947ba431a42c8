"""A nuclio function that passes CVAT's bodies on to a service. `weaksam cvat-functions` writes it out; stdlib only."""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

TIMEOUT_S = 60


def handler(context: Any, event: Any) -> Any:
    """Return the response of the service at WEAKSAM_FUNCTION_URL, errors too; 503 if there is none."""
    url, headers = os.environ["WEAKSAM_FUNCTION_URL"], {"Content-Type": "application/json"}
    if key := os.environ.get("WEAKSAM_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    request = Request(url, json.dumps(event.body).encode(), headers)  # noqa: S310
    try:
        with urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310 - the address is the deployer's own
            status, body = response.status, response.read()
    except HTTPError as error:
        status, body = error.code, error.read()
    except OSError as error:
        detail = f"{url} cannot be reached ({error}): start the service, or correct WEAKSAM_FUNCTION_URL"
        status, body = 503, json.dumps({"code": "unreachable", "detail": detail}).encode()
    return context.Response(body=body, headers={}, content_type="application/json", status_code=status)
