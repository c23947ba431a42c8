"""The bytes of an image file to pixels, with the service's own errors."""

from __future__ import annotations

from collections.abc import Mapping

from models.image import DecodedImage, ImageError, ImageErrorCode, decode_image
from service.errors import ImageBroken, ImageTooLarge, NotAnImage, RequestError

ERROR_OF_IMAGE: Mapping[ImageErrorCode, type[RequestError]] = {
    "not_an_image": NotAnImage,
    "image_too_large": ImageTooLarge,
    "image_broken": ImageBroken,
}


def decode(data: bytes, max_pixels: int) -> DecodedImage:
    """`decode_image` with its errors as the service's own."""
    try:
        return decode_image(data, max_pixels=max_pixels)
    except ImageError as error:
        raise ERROR_OF_IMAGE[error.code](str(error)) from error
