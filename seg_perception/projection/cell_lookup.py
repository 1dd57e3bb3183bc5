"""The loops of `look.cells_in_view`, compiled."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from seg_perception.utils.jit import compiled


@compiled
def bounds(
    points: NDArray[np.float64],
    seen: NDArray[np.bool_],
    rotation: NDArray[np.float64],
    translation: NDArray[np.float64],
) -> tuple[float, float, float, float]:
    """Least x, least y, largest x and largest y of the seen points, turned and moved; infinite where there is none.

    Args:
        points: float64 [N, 2].
        seen: bool [N].
        rotation, translation: [2, 2] and [2].
    """
    low_x = low_y = np.inf
    high_x = high_y = -np.inf
    for i in range(seen.size):
        if seen[i]:
            x = rotation[0, 0] * points[i, 0] + rotation[0, 1] * points[i, 1] + translation[0]
            y = rotation[1, 0] * points[i, 0] + rotation[1, 1] * points[i, 1] + translation[1]
            low_x, high_x, low_y, high_y = min(low_x, x), max(high_x, x), min(low_y, y), max(high_y, y)
    return low_x, low_y, high_x, high_y


@compiled
def cells_next_to_places(
    first: tuple[int, int],
    last: tuple[int, int],
    resolution: float,
    rotation: NDArray[np.float64],
    translation: NDArray[np.float64],
    foot: NDArray[np.float64],
    bearings: NDArray[np.float64],
    ranges: NDArray[np.float64],
    seen: NDArray[np.bool_],
    centres: NDArray[np.float64],
    nearest: NDArray[np.int64],
) -> int:
    """Look up, for each cell of a block, the place next to it.

    Args:
        first, last: (column, row) of the block in odom's raster, the last not included.
        resolution: edge of a cell, m.
        rotation, translation: of odom_from_footprint, [2, 2] and [2].
        foot: float64 [2], of the places, in the footprint frame, m.
        bearings: float64 [B], evenly spaced, rad.
        ranges: float64 [R], evenly spaced, m.
        seen: bool [B * R].
        centres: float64 [cells of the block, 2], written: (x, y) in odom of the cells that have a seen place.
        nearest: int64 [cells of the block], written: that place.

    Returns:
        How many they are.
    """
    bearing_step, range_step = bearings[1] - bearings[0], ranges[1] - ranges[0]
    start = bearings[0] - bearing_step / 2
    # A little further than the field of view, whose limits are for the bearing to tell.
    narrow = bearing_step * bearings.size < 3
    right_edge = math.cos(start - 1e-6), math.sin(start - 1e-6)
    left_edge = math.cos(bearings[-1] + bearing_step / 2 + 1e-6), math.sin(bearings[-1] + bearing_step / 2 + 1e-6)
    count = 0
    for row in range(first[1], last[1]):
        for col in range(first[0], last[0]):
            x, y = (col + 0.5) * resolution, (row + 0.5) * resolution
            east, north = x - translation[0], y - translation[1]
            ahead = rotation[0, 0] * east + rotation[1, 0] * north - foot[0]
            left = rotation[0, 1] * east + rotation[1, 1] * north - foot[1]
            if narrow and (right_edge[0] * left < right_edge[1] * ahead or left_edge[1] * ahead < left_edge[0] * left):
                continue  # cheaper than to ask for the bearing of each
            ring = np.rint((math.sqrt(ahead * ahead + left * left) - ranges[0]) / range_step)
            if not 0 <= ring < ranges.size:
                continue
            turn = math.atan2(left, ahead) - start
            if turn < 0:
                turn += 2 * math.pi
            elif turn >= 2 * math.pi:
                turn -= 2 * math.pi
            turn /= bearing_step
            if not 0 <= turn < bearings.size:
                continue
            place = int(turn) * ranges.size + int(ring)
            if seen[place]:
                centres[count, 0], centres[count, 1], nearest[count] = x, y, place
                count += 1
    return count
