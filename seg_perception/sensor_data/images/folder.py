"""Folders of image files, for calibration and comparison."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import ImageError
from seg_perception.sensor_data.images.compressed import decode_compressed
from seg_perception.sensor_data.images.header import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS
from seg_perception.utils.small_files import read_regular_file

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".webp")
"""Lower-case suffixes of the image files that are read anywhere: recordings, datasets, examples, calibration."""


def image_files(folder: Path) -> list[Path]:
    """The image files of a folder, sorted by name.

    Raises:
        ImageError: there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise ImageError(f"{folder}: is not a folder; give one that holds images.")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise ImageError(f"{folder}: holds no image ({', '.join(IMAGE_SUFFIXES)}); give a folder that does.")
    return files


def read_image(path: Path, max_pixels: int = MAX_IMAGE_PIXELS) -> NDArray[np.uint8]:
    """An image file as uint8 [H, W, 3], bgr.

    Raises:
        ImageError: it cannot be read or decoded, or has more than `max_pixels`.
    """
    try:
        return decode_compressed(read_image_file(path), 1, max_pixels)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None


def read_image_file(path: Path) -> bytes:
    """The content of an image file.

    Raises:
        ImageError: there is no such file, it is no regular file, is too large or cannot be read.
    """
    try:
        return read_regular_file(path, MAX_IMAGE_BYTES)
    except OSError as error:
        raise ImageError(f"it cannot be read ({error.strerror}); give an image file.") from None
