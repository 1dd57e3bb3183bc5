"""Synthetic masked images: a green rectangle on grey and dark ground."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

GREY, DARK, GREEN = (150, 150, 150), (20, 20, 20), (60, 190, 70)


def draw_masked_image(folder: Path, name: str, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A grey and a dark half with noise, and a green rectangle: the class. Written as name.jpg and name.png."""
    rng = np.random.default_rng(seed)
    image = np.empty((48, 64, 3), np.int64)
    image[:, :32], image[:, 32:] = GREY, DARK
    mask = np.zeros((48, 64), np.bool_)
    x, y = rng.integers(0, 32), rng.integers(0, 24)
    mask[y : y + 20, x : x + 24] = True
    image[mask] = GREEN
    noisy = np.clip(image + rng.integers(-15, 16, image.shape), 0, 255).astype(np.uint8)
    cv2.imwrite(str(folder / f"{name}.jpg"), noisy[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])
    cv2.imwrite(str(folder / f"{name}.png"), mask.astype(np.uint8) * 255)
    return noisy, mask
