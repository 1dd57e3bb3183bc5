"""Which ground samples the camera sees, and which are hidden by an obstacle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seg_perception.projection.flat_ground import kernels
from seg_perception.settings.ground import GroundSettings


def visibility(
    probabilities: NDArray[np.float32],
    standing: NDArray[np.bool_],
    in_image: NDArray[np.bool_],
    ranges: NDArray[np.float64],
    settings: GroundSettings,
) -> NDArray[np.float32]:
    """The visibility of each sample, scanned outwards along each bearing.

    An obstacle begins at the first sample whose obstacle probability reaches the threshold. It is marked there and on
    the obstacle samples within the next `standing_depth`. Nothing further out is visible. A sample up to there has the
    visibility 1 - q, with q the largest obstacle probability of the nearer samples. This is the chance that its line of
    sight is free if all uncertainty along a bearing is about one and the same obstacle. (Independent uncertainties, the
    product of all 1 - q, would make the weight depend on how densely the bearing is sampled.) The visible part of a
    bearing begins at the first sample inside the image and ends where the bearing leaves the image again.

    Args:
        probabilities: float32 [B, R, K], per class, nearest range first; not read outside of the image.
        standing: bool [K], the obstacle classes, which hide what lies behind them.
        in_image: bool [B, R].
        ranges: float64 [R], m, ascending.
        settings: standing_threshold and standing_depth.

    Returns:
        float32 [B, R], 0 (hidden) to 1 (fully visible).
    """
    visible = np.empty(in_image.shape, np.float32)
    threshold, depth = settings.standing_threshold, settings.standing_depth
    kernels.compute_visibility(probabilities, standing, in_image, ranges, threshold, depth, visible)
    return visible
