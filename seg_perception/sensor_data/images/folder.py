"""A folder of pictures, as users keep them for calibration and comparison."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import ImageError
from seg_perception.sensor_data.images.compressed import decode_compressed

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".webp")


def image_files(folder: Path) -> list[Path]:
    """The image files of a folder, in the order of their names.

    Raises:
        ImageError: there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise ImageError(f"{folder}: is not a folder; give one that holds images.")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not files:
        raise ImageError(f"{folder}: holds no image ({', '.join(SUFFIXES)}); give a folder that does.")
    return files


def read_image(path: Path) -> NDArray[np.uint8]:
    """An image file as uint8 [H, W, 3], bgr.

    Raises:
        ImageError: it cannot be read or decoded.
    """
    try:
        return decode_compressed(path.read_bytes())
    except (ImageError, OSError) as error:
        raise ImageError(f"{path}: {error}") from None
