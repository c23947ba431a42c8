"""The API key of programs that call a service."""

from __future__ import annotations

import os
from pathlib import Path

from weaksam.connection import is_api_key
from weaksam.errors import UserError
from weaksam.files.text_files import decoded
from weaksam.variables import API_KEY_VARIABLE


def read_api_key(file: Path | None) -> str | None:
    """Return the key of the file or of WEAKSAM_API_KEY; None if neither is given.

    Raises:
        UserError: the file or the variable holds anything else.
    """
    # Not an option: a command line can be read by everyone on the machine.
    if file is not None:
        key, place = decoded(file.read_bytes(), "replace").strip(), str(file)
    elif API_KEY_VARIABLE in os.environ:
        key, place = os.environ[API_KEY_VARIABLE], API_KEY_VARIABLE
    else:
        return None
    if not is_api_key(key):
        raise UserError(f"{place} holds no API key: put the one line there that `weaksam keys add` printed")
    return key
