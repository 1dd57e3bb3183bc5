"""The height of the ground along each bearing: the lowest surface that the robot could drive on.

Scanning outwards from the sensor's nadir point, the ground continues as long as it neither rises nor falls more steeply
than the robot can drive. A surface is ground if it can be reached at the slope limit from every nearer piece of ground.
This is the slope filter of Vosselman ("Slope based filtering of laser altimetry data", ISPRS XXXIII-B3, 2000), but
along a line from where the robot stands instead of over all pairs of points. So the bottom of a hole does not turn its
rim into an obstacle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seg_perception.projection.range import kernels
from seg_perception.settings.projection import ProjectionSettings

# Up to here the ground is at the height where the robot stands, m: it carries the robot's own length.
_FOOTING = 0.5
# Length of the gap in front of the nearest visible ground over which its slope is still believed, m.
_FIRST_GAP = 2.0
# Length over which the slope of the ground is averaged, m; the slope extrapolates the ground behind what hides it.
_SLOPE_LENGTH = 1.0


@dataclass(frozen=True, eq=False)
class GroundHeights:
    """The ground along B bearings at R ranges.

    Attributes:
        height: float32 [B, R], m in the footprint frame; the expected height where no ground was found.
        found: bool [B, R].
        slope: float32 [B, R], rise outwards along the bearing, m per m.
    """

    height: NDArray[np.float32]
    found: NDArray[np.bool_]
    slope: NDArray[np.float32]


def estimate_ground(
    lowest: NDArray[np.float32], ranges: NDArray[np.float64], settings: ProjectionSettings
) -> GroundHeights:
    """Find the ground among the lowest points.

    Along each bearing the scan carries the height c and slope s of the last ground, and two bounds for the next: the
    upper bound rises and the lower bound falls by the slope limit. Ground that is lower than the upper bound or higher
    than the lower bound resets that bound to its own height.

    Across a gap without ground, the bounds widen with the distance and would admit anything that is far enough away. So
    three more rules hold:

    - Ground may lie at most `max_step` below the extrapolated slope: behind an edge, a drop always looks like a slope
      that is a little flatter than the line of sight.
    - It may lie above it by `max_step` plus what the slope limit gives over `max_gap`.
    - Only within `max_step` of the extrapolated slope may it stand alone. Elsewhere another point on its bearing, up to
      `max_gap` further in or out, must continue it at the slope limit: what a single level beam hits may be a wall as
      well as a ramp.

    Args:
        lowest: float32 [B, R], height of the lowest points; NaN where there is none.
        ranges: float64 [R], m from the sensor's nadir point, ascending.
        settings: max_slope, max_step, max_gap and height_noise.

    Returns:
        GroundHeights.
    """
    limit, noise = math.tan(settings.max_slope), settings.height_noise
    steps = np.diff(ranges, prepend=_FOOTING).clip(0).astype(np.float32)
    continued = _is_continued(lowest, float(ranges[1] - ranges[0]), settings)
    first_rise, later_rise = limit * _FIRST_GAP, settings.max_step + limit * settings.max_gap
    limits = np.array([limit, noise, settings.max_step, first_rise, later_rise, _SLOPE_LENGTH], np.float32)
    heights, slopes = np.empty((2, *lowest.shape), np.float32)
    found = np.empty(lowest.shape, np.bool_)
    kernels.trace_ground(lowest, steps, continued, limits, heights, found, slopes)
    return GroundHeights(heights, found, slopes)


def _is_continued(lowest: NDArray[np.float32], step: float, settings: ProjectionSettings) -> NDArray[np.bool_]:
    """Where in [B, R] another point on the same bearing continues a surface at the slope limit, inwards or outwards."""
    limit, ranges = math.tan(settings.max_slope), lowest.shape[1]
    continued = np.zeros(lowest.shape, np.bool_)
    for offset in range(1, min(int(settings.max_gap / step + 1e-9), ranges - 1) + 1):
        tolerance = np.float32(limit * offset * step + settings.height_noise)
        agree = np.abs(lowest[:, offset:] - lowest[:, :-offset]) <= tolerance
        continued[:, offset:] |= agree
        continued[:, :-offset] |= agree
    return continued
