"""Overhang correction: where an obstacle begins whose underside hangs above the ground, as a car's between its wheels.

A line of sight can pass under the underside and end on the ground behind its front. From a camera at height h, ground
at range r is visible under an underside at height u if the underside begins at r (1 - u / h) or further (similar
triangles). So an obstacle of overhang u that ends a line of sight at range r may begin at r (1 - u / h), and the ground
from there on is not free.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seg_perception.projection.flat_ground import kernels
from seg_perception.settings.ground import GroundSettings

# A camera hardly higher than an underside, or lower, sees far under it: without a limit, all ground in front of a wheel
# would count as obstacle.
_LARGEST_SHARE = 0.5


def correct_overhang(
    probabilities: NDArray[np.float32],
    standing: NDArray[np.bool_],
    overhang: NDArray[np.float32],
    in_image: NDArray[np.bool_],
    ranges: NDArray[np.float64],
    height: float,
    settings: GroundSettings,
) -> NDArray[np.intp]:
    """Which sample each polar bin takes its classes from: its own, or that of the obstacle that may hang over it.

    Args:
        probabilities: float32 [B, R, K], per class, nearest range first.
        standing: bool [K], the obstacle classes, which hide what lies behind them.
        overhang: float32 [K], how high the underside of each class may hang above the ground, m.
        in_image: bool [B, R].
        ranges: float64 [R], m, ascending.
        height: of the camera above the ground, m.
        settings: standing_threshold, from which a sample is an obstacle.

    Returns:
        intp [B, R], flat index of a sample. It is the bin's own sample everywhere except from r (1 - u / h) to r in
        front of the first obstacle sample, at range r: there it is that obstacle sample. u is its mean overhang over
        the obstacle classes.
    """
    source = np.arange(in_image.size).reshape(in_image.shape)
    if overhang.any():
        limits = settings.standing_threshold, _LARGEST_SHARE
        kernels.correct_overhang(probabilities, standing, overhang, in_image, ranges, height, *limits, source)
    return source
