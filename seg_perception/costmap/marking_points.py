"""A costmap as point clouds, for nav2 layers that mark and clear by points.

ObstacleLayer marks the cell of a marking point, and clears the cells between the sensor and a clearing point. It never
removes a mark by itself. So the marking points (lethal cells) need clearing points behind every cell: those along the
border of the costmap. Source: nav2_costmap_2d, plugins/obstacle_layer.cpp, updateBounds and raytraceFreespace.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seg_perception.costmap.nav2_encoding import OccupancyValues
from seg_perception.geometry.grid_bounds import GridBounds

MARK_HEIGHT = 0.25
"""Height of the points above the ground, m. By default ObstacleLayer takes obstacles from 0 to 2 m, and the collision
monitor from 0.05 to 0.5 m."""


def lethal_points(costmap: NDArray[np.int8], bounds: GridBounds, ground: float) -> NDArray[np.float32]:
    """Marking points: the centres of the lethal cells.

    Args:
        costmap: int8 [rows, cols], nav_msgs/OccupancyGrid values.
        bounds: where it lies in odom.
        ground: height of the ground under the robot in odom, m.

    Returns:
        float32 [N, 3], x, y, z in odom, m.
    """
    return _raised(bounds.centres()[costmap == OccupancyValues.LETHAL], ground)


def clearing_points(bounds: GridBounds, ground: float) -> NDArray[np.float32]:
    """Clearing points: the centres of the outermost cells. Lines from inside the costmap to them cross every cell.

    Args:
        bounds: where the costmap lies in odom.
        ground: height of the ground under the robot in odom, m.

    Returns:
        float32 [N, 3], x, y, z in odom, m.
    """
    border = np.ones((bounds.rows, bounds.cols), dtype=np.bool_)
    border[1:-1, 1:-1] = False
    return _raised(bounds.centres()[border], ground)


def _raised(xy: NDArray[np.float64], ground: float) -> NDArray[np.float32]:
    return np.column_stack([xy, np.full(len(xy), ground + MARK_HEIGHT)]).astype(np.float32)
