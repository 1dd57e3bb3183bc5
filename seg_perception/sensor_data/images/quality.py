"""How good an image is: its sharpness, its exposure, and how much what it shows should count."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_DARKEST, _BRIGHTEST = 8, 247  # beyond these a pixel tells black or white from nothing


def sharpness(image: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of the green channel, which is close to brightness in RGB and BGR alike.

    Source: Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy: a comparative study, ICPR 2000, LAPV.

    Args:
        image: uint8 [H, W, 3].

    Returns:
        0 for an even image; it grows with edges and texture, with the square of contrast, and with noise.
    """
    return float(cv2.Laplacian(_green(image), cv2.CV_32F).var(dtype=np.float64))


def exposure(image: NDArray[np.uint8]) -> float:
    """Share of pixels, 0..1, that are neither black nor white.

    Args:
        image: uint8 [H, W, 3].
    """
    green = _green(image)
    return float(np.count_nonzero((green >= _DARKEST) & (green <= _BRIGHTEST)) / green.size)


def image_weight(image: NDArray[np.uint8], full_sharpness: float, full_exposure: float) -> float:
    """How much an image counts, 0..1: in proportion to its sharpness and to its exposure, up to a value for each.

    Args:
        image: uint8 [H, W, 3].
        full_sharpness: sharpness from which it counts fully; 0 does not ask for it.
        full_exposure: exposure from which it counts fully; 0 does not ask for it.
    """
    weight = 1.0
    if full_sharpness:
        weight *= min(1.0, sharpness(image) / full_sharpness)
    if full_exposure:
        weight *= min(1.0, exposure(image) / full_exposure)
    return weight


def _green(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(image[..., 1])
