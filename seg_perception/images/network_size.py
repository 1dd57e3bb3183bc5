"""The image as a network takes it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def at_network_size(image: NDArray[np.uint8], order: str, width: int, height: int, wanted: str) -> NDArray[np.uint8]:
    """Bring an image to a network's size and channel order.

    Args:
        image: uint8 [h, w, 3].
        order: of its channels, "rgb" or "bgr".
        width: wanted, pixels.
        height: wanted, pixels.
        wanted: order of the result's channels.

    Returns:
        uint8 [height, width, 3], contiguous.
    """
    if image.shape[:2] != (height, width):
        # Averaging over the pixels that merge keeps thin things from flickering; it only makes sense when shrinking.
        shrinks = image.shape[0] >= height and image.shape[1] >= width
        image = np.asarray(
            cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR), np.uint8
        )
    if order != wanted:
        image = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), np.uint8)
    return np.ascontiguousarray(image)
