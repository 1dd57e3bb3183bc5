"""How high the ground lies along each line of sight: the lowest surface that the robot could drive up to.

Walking outwards from the sensor's foot point, ground goes on as long as it neither rises nor falls more steeply than
the robot can drive. A surface belongs to it if, from every nearer piece of ground, it can be reached at the slope
limit: the slope filter of Vosselman ("Slope based filtering of laser altimetry data", ISPRS XXXIII-B3, 2000), taken
along a line from where the robot stands, instead of over all pairs of points, so that the bottom of a hole does not
turn its rim into an obstacle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seg_perception.geometry.projection_settings import ProjectionSettings

# Up to here the ground is as high as where the robot stands, m: it carries the robot's own length.
_FOOTING = 0.5
# As far as the nearest ground may be out of sight while its slope is still believed, m.
_BLIND = 2.0
# Length over which the slope of the ground is averaged, m; it says where ground goes on behind what hides it.
_SLOPE_LENGTH = 1.0


@dataclass(frozen=True, eq=False)
class GroundHeights:
    """The ground along B bearings at R ranges.

    Attributes:
        height: float32 [B, R], m in the footprint frame; where no ground was found, where it is expected.
        found: bool [B, R].
        slope: float32 [B, R], rise outwards along the bearing, m per m.
    """

    height: NDArray[np.float32]
    found: NDArray[np.bool_]
    slope: NDArray[np.float32]


def follow_ground(
    lowest: NDArray[np.float32], ranges: NDArray[np.float64], settings: ProjectionSettings
) -> GroundHeights:
    """Find the ground among the lowest points.

    Beside the height c and slope s of the last ground, each bearing carries two bounds for the next: the upper one
    rises and the lower one falls by the slope limit, starting anew from every piece of ground that is lower or higher.
    Nor may ground lie more than `max_step` below where its slope leads: where the eye passes over an edge, a fall over
    what it does not see always looks like a slope that is a little flatter than the line of sight.

    A point as low as none of its eight neighbours is an error of the sensor.

    Args:
        lowest: float32 [B, R], height of the lowest points; NaN where there is none.
        ranges: float64 [R], m from the sensor's foot point, ascending.
        settings: max_slope, max_step and height_noise.

    Returns:
        GroundHeights.
    """
    # float32 throughout: a Python float would do in numpy 2, and make everything float64 in numpy 1.
    limit, noise = np.float32(math.tan(settings.max_slope)), np.float32(settings.height_noise)
    steps = np.diff(ranges, prepend=_FOOTING).clip(0).astype(np.float32)
    bearings, step_limit = lowest.shape[0], np.float32(settings.max_step)
    candidates = _without_loners(lowest, step_limit + limit * np.float32(ranges[1] - ranges[0]))
    height, slope, upper, lower = np.zeros((4, bearings), np.float32)
    gap = np.zeros(bearings, np.float32)
    fall = np.full(bearings, limit * np.float32(_BLIND))
    heights, slopes = np.empty((2, ranges.size, bearings), np.float32)
    found = np.empty((ranges.size, bearings), np.bool_)
    for index, (step, candidate) in enumerate(zip(steps, np.ascontiguousarray(candidates.T), strict=True)):
        gap += step
        expected = height + slope * gap
        upper += limit * step
        lower -= limit * step
        is_ground = (candidate <= upper + noise) & (candidate >= np.maximum(lower - noise, expected - fall))
        rise = (candidate - height) / np.maximum(gap, np.float32(1e-3))
        rise = slope + np.minimum(gap / np.float32(_SLOPE_LENGTH), np.float32(1)) * (rise - slope)
        heights[index] = np.where(is_ground, candidate, np.minimum(np.maximum(expected, lower), upper))
        np.copyto(height, candidate, where=is_ground)
        np.copyto(slope, np.minimum(np.maximum(rise, -limit), limit), where=is_ground)
        np.minimum(upper, candidate, out=upper, where=is_ground)
        np.maximum(lower, candidate, out=lower, where=is_ground)
        np.copyto(gap, 0, where=is_ground)
        np.copyto(fall, step_limit, where=is_ground)
        slopes[index], found[index] = slope, is_ground
    return GroundHeights(heights.T, found.T, slopes.T)


def _without_loners(lowest: NDArray[np.float32], tolerance: np.float32) -> NDArray[np.float32]:
    """`lowest` [B, R] with NaN wherever no neighbour is as high, within the tolerance, m."""
    bearings, ranges = lowest.shape
    padded = np.pad(lowest, 1, constant_values=np.nan)
    agrees = np.zeros(lowest.shape, np.bool_)
    for down in range(3):
        for right in range(3):
            if (down, right) != (1, 1):
                agrees |= np.abs(padded[down : down + bearings, right : right + ranges] - lowest) <= tolerance
    return np.where(agrees, lowest, np.float32(np.nan))
