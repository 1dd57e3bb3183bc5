"""Where a thing begins whose underside hangs above the ground, as a car's does between its wheels.

A line of sight passes under it and ends on the ground behind its face. From a camera at height h, ground at range r is
in sight under an underside at height u if that begins at r (1 - u / h) or further (similar triangles). So where sight
ends on a thing that may hang u high, it may begin as near as that, and the ground from there on is not free.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seg_perception.projection.flat_ground import kernels
from seg_perception.projection.flat_ground.sampling import GroundSettings

# A camera hardly higher than an underside, or lower, sees too far under it: all ground up to a wheel would be taken.
_LARGEST_SHARE = 0.5


def answering_samples(
    probabilities: NDArray[np.float32],
    standing: NDArray[np.bool_],
    overhang: NDArray[np.float32],
    in_image: NDArray[np.bool_],
    ranges: NDArray[np.float64],
    height: float,
    settings: GroundSettings,
) -> NDArray[np.intp]:
    """Which sample says what each place holds: its own, or that of the thing which may hang over it.

    Args:
        probabilities: float32 [B, R, K], per class, nearest range first.
        standing: bool [K], the classes that hide what lies behind them.
        overhang: float32 [K], how high the underside of each class may hang above the ground, m.
        in_image: bool [B, R].
        ranges: float64 [R], m, ascending.
        height: of the camera above the ground, m.
        settings: standing_threshold; from it on sight ends.

    Returns:
        intp [B, R], flat index of a sample. Its own everywhere, but on r (1 - u / h) to r before the first sample that
        stands, at range r, the index of that one; u is the mean overhang of what may stand there.
    """
    answering = np.arange(in_image.size).reshape(in_image.shape)
    if overhang.any():
        how = settings.standing_threshold, _LARGEST_SHARE
        kernels.answer(probabilities, standing, overhang, in_image, ranges, height, *how, answering)
    return answering
