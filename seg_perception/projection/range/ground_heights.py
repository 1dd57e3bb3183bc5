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

from seg_perception.projection.flat_ground import kernels
from seg_perception.settings.projection import ProjectionSettings

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

    Over what is not seen, bounds that widen with the distance would let in whatever stands or lies far enough behind.
    So ground may lie at most `max_step` below where its slope leads: where the eye passes over an edge, a fall always
    looks like a slope that is a little flatter than the line of sight. Above it, it may rise by what the slope limit
    gives over `max_gap` as well. And only within `max_step` of where its slope leads may it stand alone; elsewhere
    something on its bearing, up to `max_gap` further in or out, must continue it at the slope limit: what a level beam
    has met may be a wall as well as a ramp.

    Args:
        lowest: float32 [B, R], height of the lowest points; NaN where there is none.
        ranges: float64 [R], m from the sensor's foot point, ascending.
        settings: max_slope, max_step, max_gap and height_noise.

    Returns:
        GroundHeights.
    """
    limit, noise = math.tan(settings.max_slope), settings.height_noise
    steps = np.diff(ranges, prepend=_FOOTING).clip(0).astype(np.float32)
    continued = _is_continued(lowest, float(ranges[1] - ranges[0]), settings)
    bounds = np.array(
        [limit, noise, settings.max_step, limit * _BLIND, settings.max_step + limit * settings.max_gap, _SLOPE_LENGTH],
        np.float32,
    )
    heights, slopes = np.empty((2, *lowest.shape), np.float32)
    found = np.empty(lowest.shape, np.bool_)
    kernels.follow(lowest, steps, continued, bounds, heights, found, slopes)
    return GroundHeights(heights, found, slopes)


def _is_continued(lowest: NDArray[np.float32], step: float, settings: ProjectionSettings) -> NDArray[np.bool_]:
    """Where in [B, R] something on the same bearing continues a surface at the slope limit, inwards or outwards."""
    limit, ranges = math.tan(settings.max_slope), lowest.shape[1]
    continued = np.zeros(lowest.shape, np.bool_)
    for places in range(1, min(int(settings.max_gap / step + 1e-9), ranges - 1) + 1):
        tolerance = np.float32(limit * places * step + settings.height_noise)
        agree = np.abs(lowest[:, places:] - lowest[:, :-places]) <= tolerance
        continued[:, places:] |= agree
        continued[:, :-places] |= agree
    return continued
