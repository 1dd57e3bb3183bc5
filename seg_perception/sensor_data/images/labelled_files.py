"""Reads the image and label files of datasets and masks; every damaged, special or oversized file is a ConfigError."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from seg_perception.errors import ConfigError, ImageError
from seg_perception.sensor_data.images.compressed import decode_pixels
from seg_perception.sensor_data.images.folder import read_image_file
from seg_perception.sensor_data.images.header import MAX_IMAGE_PIXELS, check_pixels, declared_size
from seg_perception.utils.small_files import open_regular_file

_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM")


def decode_image_file(path: Path, flags: int, max_pixels: int = MAX_IMAGE_PIXELS) -> NDArray[Any]:
    """An image as OpenCV decodes it.

    Args:
        path: the file.
        flags: of cv2.imdecode.
        max_pixels: largest number of pixels.

    Returns:
        [H, W] or [H, W, channels].

    Raises:
        ConfigError: it cannot be read or decoded, or has more than `max_pixels`.
    """
    try:
        return decode_pixels(read_image_file(path), flags, max_pixels)
    except ImageError as error:
        raise _undecodable(path, error) from None


@contextmanager
def open_image_file(path: Path, max_pixels: int = MAX_IMAGE_PIXELS) -> Iterator[Image.Image]:
    """An image as Pillow opens it: palettes keep their indices. It is decoded within the `with` block.

    Raises:
        ConfigError: it cannot be read or decoded, or has more than `max_pixels`.
    """
    try:
        content = read_image_file(path)
        declared_size(content, max_pixels)
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            check_pixels(image.width, image.height, max_pixels)
            yield image
    except ConfigError:
        raise
    except Exception as error:  # a damaged file makes Pillow fail in many ways
        raise _undecodable(path, error) from None


def image_file_size(path: Path, max_pixels: int = MAX_IMAGE_PIXELS) -> tuple[int, int]:
    """(width, height) of an image file from its header; its pixels are not read.

    Raises:
        ConfigError: it cannot be read, or has more than `max_pixels`.
    """
    try:
        with open_regular_file(path) as file, Image.open(file, formats=_FORMATS) as image:
            check_pixels(image.width, image.height, max_pixels)
            return image.width, image.height
    except Image.DecompressionBombError:  # raised by Pillow before it gives the size
        raise _undecodable(
            path, ImageError(f"its pixels are more than the limit of {max_pixels}; scale it down.")
        ) from None
    except Exception as error:  # see open_image_file
        raise _undecodable(path, error) from None


def _undecodable(path: Path, error: Exception) -> ConfigError:
    reason = f": {error}" if isinstance(error, ImageError) else "; replace or remove it."
    return ConfigError(f"{path}: is not an image that can be decoded{reason}")
