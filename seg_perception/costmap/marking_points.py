"""A costmap as points, for nav2 layers that mark and clear by points.

ObstacleLayer marks where a point lies and frees what lies between the sensor and a point; it never takes a mark back
by itself. So lethal cells alone would stand for ever, and the points to clear by must lie behind every cell, as those
along the border of the costmap do. Source: nav2_costmap_2d, plugins/obstacle_layer.cpp, updateBounds and
raytraceFreespace.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seg_perception.costmap.nav2_encoding import OccupancyValues
from seg_perception.geometry.grid_bounds import Raster

MARK_HEIGHT = 0.25
"""Height of the points over the ground, m: within what ObstacleLayer (0 to 2 m) and the collision monitor (0.05 to
0.5 m) take for an obstacle by default."""


def lethal_points(costmap: NDArray[np.int8], raster: Raster, ground: float) -> NDArray[np.float32]:
    """The middles of the lethal cells.

    Args:
        costmap: int8 [rows, cols], nav_msgs/OccupancyGrid values.
        raster: where it lies in odom.
        ground: height of the ground under the robot in odom, m.

    Returns:
        float32 [N, 3], x, y, z in odom, m.
    """
    return _raised(raster.centres()[costmap == OccupancyValues.LETHAL], ground)


def border_points(raster: Raster, ground: float) -> NDArray[np.float32]:
    """The middles of the outermost cells: lines from a point within to all of them pass over every cell.

    Args:
        raster: where the costmap lies in odom.
        ground: height of the ground under the robot in odom, m.

    Returns:
        float32 [N, 3], x, y, z in odom, m.
    """
    border = np.ones((raster.rows, raster.cols), dtype=np.bool_)
    border[1:-1, 1:-1] = False
    return _raised(raster.centres()[border], ground)


def _raised(xy: NDArray[np.float64], ground: float) -> NDArray[np.float32]:
    return np.column_stack([xy, np.full(len(xy), ground + MARK_HEIGHT)]).astype(np.float32)
