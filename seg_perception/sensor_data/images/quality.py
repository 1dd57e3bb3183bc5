"""Image quality: sharpness, exposure, and the weight of an image as evidence."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_DARKEST, _BRIGHTEST = 8, 247  # a pixel beyond these is black or white


def sharpness(image: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of the green channel, which is close to brightness in RGB and BGR alike.

    Source: Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy: a comparative study, ICPR 2000, LAPV.

    Args:
        image: uint8 [H, W, 3].

    Returns:
        0 for a uniform image. It grows with edges, texture and noise, and with the square of contrast.
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
    """Weight of an image, 0..1: proportional to its sharpness and its exposure, each up to a threshold.

    Args:
        image: uint8 [H, W, 3].
        full_sharpness: sharpness from which the image has full weight; 0 ignores sharpness.
        full_exposure: exposure from which the image has full weight; 0 ignores exposure.
    """
    weight = 1.0
    if full_sharpness:
        weight *= min(1.0, sharpness(image) / full_sharpness)
    if full_exposure:
        weight *= min(1.0, exposure(image) / full_exposure)
    return weight


def _green(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(image[..., 1])
