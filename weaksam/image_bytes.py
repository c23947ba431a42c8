"""The bytes of an image file, if it is one: a pipe or a device under its name would never end."""

from __future__ import annotations

import asyncio
import errno
import stat
from pathlib import Path

from weaksam.errors import UserError

# Far beyond any image that is decoded; more would not fit into memory.
MAX_FILE_BYTES = 2**31


def read_image_bytes(path: Path) -> bytes:
    """Return the bytes of an image, which may lie behind an address.

    Raises:
        OSError: the file cannot be read, is no regular file, or is too large.
    """
    if "://" not in str(path):  # what lies behind an address is a file, and another request would ask for nothing else
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file: copy the image into one", str(path))
        if status.st_size > MAX_FILE_BYTES:
            raise OSError(errno.EFBIG, f"it has {status.st_size} bytes, more than {MAX_FILE_BYTES}: make it smaller")
    return path.read_bytes()


async def named_image(image: Path | bytes) -> tuple[str, bytes]:
    """Return name and bytes of an image, as a form sends them.

    Raises:
        OSError: as `read_image_bytes` does.
        UserError: the image is neither a path nor bytes.
    """
    if isinstance(image, bytes):
        return "image", image
    if not hasattr(image, "read_bytes"):
        raise UserError(f"image is of type {type(image).__name__}: give a pathlib.Path, or the bytes of the file")
    # The name of a file need not be text.
    return image.name.encode(errors="replace").decode(), await asyncio.to_thread(read_image_bytes, image)
