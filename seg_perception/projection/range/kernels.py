"""The compiled loop of `ground_heights`: one outward scan along each bearing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seg_perception.utils.jit import compiled


@compiled
def trace_ground(
    lowest: NDArray[np.float32],
    steps: NDArray[np.float32],
    continued: NDArray[np.bool_],
    limits: NDArray[np.float32],
    heights: NDArray[np.float32],
    found: NDArray[np.bool_],
    slopes: NDArray[np.float32],
) -> None:
    """See `ground_heights.estimate_ground`.

    Args:
        lowest: float32 [B, R], NaN where there is none.
        steps: float32 [R], m from one range to the next.
        continued: bool [B, R], where another point of the same bearing continues the surface.
        limits: float32 [6]: slope limit; height noise; largest step; how far the first ground may lie above or below
            the extrapolated slope; how far later ground may lie above it; length over which a slope is averaged.
        heights, found, slopes: float32, bool, float32 [B, R], written.
    """
    limit, noise, step, first_rise, later_rise, length = limits
    for b in range(lowest.shape[0]):
        height = slope = upper = lower = gap = np.float32(0)
        fall = rise = first_rise
        for r in range(steps.size):
            candidate = lowest[b, r]
            gap += steps[r]
            expected = height + slope * gap
            upper += limit * steps[r]
            lower -= limit * steps[r]
            off = candidate - expected
            near = abs(off) <= step or (continued[b, r] and -fall <= off <= rise)
            if near and lower - noise <= candidate <= upper + noise:
                newest = (candidate - height) / max(gap, np.float32(1e-3))
                newest = slope + min(gap / length, np.float32(1)) * (newest - slope)
                slope = min(max(newest, -limit), limit)
                height = heights[b, r] = candidate
                upper, lower = min(upper, candidate), max(lower, candidate)
                fall, rise, gap = step, later_rise, np.float32(0)
                found[b, r] = True
            else:
                heights[b, r] = min(max(expected, lower), upper)
                found[b, r] = False
            slopes[b, r] = slope
