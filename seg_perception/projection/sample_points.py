"""Sample points: normalised image coordinates at which the network is sampled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def to_sample_points(pixels: NDArray[np.float64], width: int, height: int) -> NDArray[np.float32]:
    """Normalise pixels to [-1, 1] from edge to edge, as grid_sample does with align_corners=False.

    Args:
        pixels: [..., 2] (u, v), pixel centres at whole numbers.
        width: of the image, pixels.
        height: of the image, pixels.

    Returns:
        float32 [..., 2], ((2u + 1) / width - 1, (2v + 1) / height - 1).
    """
    points: NDArray[np.float32] = ((2 * pixels + 1) / np.array([width, height]) - 1).astype(np.float32)
    return points
