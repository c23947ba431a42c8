"""The token that images in Label Studio are fetched with: a legacy token, or a personal access token."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path

from service.errors import ImageUnreachable
from service.http.integrations.guarded_http import GuardedHttp

# Personal access tokens are exchanged for one that is valid for five minutes.
ACCESS_S = 120.0
TOKEN = re.compile(r"[!-~]+")
REFRESH_PATH = "/api/token/refresh/"


class LabelStudioToken:
    """Reads the file for each image, so that a new token needs no restart.

    Args:
        path: a file that holds the token alone.
        base_url: of Label Studio, without a slash at its end.
        http: sends the request that exchanges a personal access token.
    """

    def __init__(self, path: Path, base_url: str, http: GuardedHttp) -> None:
        self._path = path
        self._base_url = base_url
        self._http = http
        self._access: tuple[str, str, float] = ("", "", 0.0)

    async def header(self) -> str:
        """Return the value of `Authorization`.

        Raises:
            ImageUnreachable: the file holds no token, or Label Studio refuses it.
        """
        try:
            token = (await asyncio.to_thread(self._path.read_text, "utf-8")).strip()
        except (OSError, UnicodeError) as error:
            raise ImageUnreachable("WEAKSAM_LABEL_STUDIO_TOKEN_FILE cannot be read: see that it exists") from error
        # HTTP libraries quote a header that they refuse, and the token would be in the log.
        if not TOKEN.fullmatch(token):
            raise ImageUnreachable("WEAKSAM_LABEL_STUDIO_TOKEN_FILE holds no token: write one token into it, alone")
        # A JSON web token has three parts.
        return f"Bearer {await self._exchanged(token)}" if token.count(".") == 2 else f"Token {token}"

    async def _exchanged(self, refresh: str) -> str:
        known, access, until_s = self._access
        if known == refresh and time.monotonic() < until_s:
            return access
        headers = {"Content-Type": "application/json"}
        body = json.dumps({"refresh": refresh}).encode()
        response = await self._http.request("POST", self._base_url + REFRESH_PATH, headers, body)
        try:
            access = str(json.loads(response.body)["access"])
        except (ValueError, RecursionError, KeyError, TypeError) as error:
            raise ImageUnreachable(
                f"Label Studio responded {response.status} to the token in WEAKSAM_LABEL_STUDIO_TOKEN_FILE: make a new "
                "one"
            ) from error
        self._access = (refresh, access, time.monotonic() + ACCESS_S)
        return access
