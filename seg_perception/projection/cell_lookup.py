"""Compiled loops that find the grid cells under a polar grid; see `ground_projection.cells_in_view`."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from seg_perception.utils.jit import compiled


@compiled
def bounding_box(
    points: NDArray[np.float64],
    visible: NDArray[np.bool_],
    rotation: NDArray[np.float64],
    translation: NDArray[np.float64],
) -> tuple[float, float, float, float]:
    """Smallest x, smallest y, largest x and largest y of the visible points after a rigid transform.

    Args:
        points: float64 [N, 2].
        visible: bool [N].
        rotation, translation: [2, 2] and [2].

    Returns:
        Four coordinates; infinite where no point is visible.
    """
    low_x = low_y = np.inf
    high_x = high_y = -np.inf
    for i in range(visible.size):
        if visible[i]:
            x = rotation[0, 0] * points[i, 0] + rotation[0, 1] * points[i, 1] + translation[0]
            y = rotation[1, 0] * points[i, 0] + rotation[1, 1] * points[i, 1] + translation[1]
            low_x, high_x, low_y, high_y = min(low_x, x), max(high_x, x), min(low_y, y), max(high_y, y)
    return low_x, low_y, high_x, high_y


@compiled
def match_cells_to_bins(
    first: tuple[int, int],
    last: tuple[int, int],
    resolution: float,
    rotation: NDArray[np.float64],
    translation: NDArray[np.float64],
    nadir: NDArray[np.float64],
    bearings: NDArray[np.float64],
    ranges: NDArray[np.float64],
    visible: NDArray[np.bool_],
    centres: NDArray[np.float64],
    nearest: NDArray[np.int64],
) -> int:
    """Find the polar bin that holds the centre of each cell of a block.

    Args:
        first, last: (column, row) of the block on odom's cell lattice, `last` not included.
        resolution: edge of a cell, m.
        rotation, translation: of odom_from_footprint, [2, 2] and [2].
        nadir: float64 [2], of the polar grid, in the footprint frame, m.
        bearings: float64 [B], evenly spaced, rad.
        ranges: float64 [R], evenly spaced, m.
        visible: bool [B * R].
        centres: float64 [cells of the block, 2], written: (x, y) in odom of the cells in a visible bin.
        nearest: int64 [cells of the block], written: flat index of that bin.

    Returns:
        The number of cells found.
    """
    bearing_step, range_step = bearings[1] - bearings[0], ranges[1] - ranges[0]
    start = bearings[0] - bearing_step / 2
    # A little wider than the field of view: the bearing test below decides at its limits.
    narrow = bearing_step * bearings.size < 3
    right_edge = math.cos(start - 1e-6), math.sin(start - 1e-6)
    left_edge = math.cos(bearings[-1] + bearing_step / 2 + 1e-6), math.sin(bearings[-1] + bearing_step / 2 + 1e-6)
    count = 0
    for row in range(first[1], last[1]):
        for col in range(first[0], last[0]):
            x, y = (col + 0.5) * resolution, (row + 0.5) * resolution
            east, north = x - translation[0], y - translation[1]
            ahead = rotation[0, 0] * east + rotation[1, 0] * north - nadir[0]
            left = rotation[0, 1] * east + rotation[1, 1] * north - nadir[1]
            if narrow and (right_edge[0] * left < right_edge[1] * ahead or left_edge[1] * ahead < left_edge[0] * left):
                continue  # cheaper than the bearing of every cell
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
            bin_index = int(turn) * ranges.size + int(ring)
            if visible[bin_index]:
                centres[count, 0], centres[count, 1], nearest[count] = x, y, bin_index
                count += 1
    return count
