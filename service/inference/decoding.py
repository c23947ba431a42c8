"""The bytes of an image file to pixels, with the service's own errors."""

from __future__ import annotations

from collections.abc import Mapping

from models.image import DecodedImage, ImageError, decode_image
from service.errors import ImageBroken, ImageTooLarge, NotAnImage, RequestError

ERRORS_BY_CODE: Mapping[str, type[RequestError]] = {
    error.code: error for error in (NotAnImage, ImageTooLarge, ImageBroken)
}


def decode(data: bytes, max_pixels: int, max_declared_pixels: int) -> DecodedImage:
    """Return what `decode_image` returns; raise its errors as the service's own."""
    try:
        return decode_image(data, max_pixels=max_pixels, max_declared_pixels=max_declared_pixels)
    except ImageError as error:
        raise ERRORS_BY_CODE[error.code](str(error)) from error
