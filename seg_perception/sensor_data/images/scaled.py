"""Images at the size that a network takes."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def at_network_size(
    image: NDArray[Any], width: int, height: int, has_order: str, wants_order: str
) -> NDArray[np.uint8]:
    """An image scaled and with its channels in order; the same array where it is right already.

    Args:
        image: uint8 [H, W, 3].
        width, height: of the network's input, pixels.
        has_order: "rgb" or "bgr".
        wants_order: likewise.

    Returns:
        uint8 [height, width, 3].
    """
    if image.shape[:2] != (height, width):
        # Averaging over the pixels that merge keeps thin things from flickering; it only makes sense when shrinking.
        shrinks = image.shape[0] >= height and image.shape[1] >= width
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    if has_order != wants_order:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return np.ascontiguousarray(image, dtype=np.uint8)
