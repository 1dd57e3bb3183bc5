"""Scales images to the input size of a network."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def at_network_size(
    image: NDArray[Any], width: int, height: int, has_order: str, wants_order: str
) -> NDArray[np.uint8]:
    """Scale an image and reorder its channels; returns the same array where nothing has to change.

    Args:
        image: uint8 [H, W, 3].
        width, height: of the network's input, pixels.
        has_order: "rgb" or "bgr".
        wants_order: likewise.

    Returns:
        uint8 [height, width, 3].
    """
    if image.shape[:2] != (height, width):
        # Averaging over merged pixels keeps thin objects from flickering. It only works for shrinking.
        shrinks = image.shape[0] >= height and image.shape[1] >= width
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    if has_order != wants_order:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return np.ascontiguousarray(image, dtype=np.uint8)
