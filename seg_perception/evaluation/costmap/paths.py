"""Paths over a costmap, planned with nav2's inflation and NavFn's weights.

A cell of cost c weighs 50 + 0.8 c per cell of path. Unknown cells weigh as much as the most expensive graded one. Cells
in which the robot would touch something lethal are forbidden. Source: nav2_costmap_2d, plugins/inflation_layer
(computeCost, updateCosts); nav2_navfn_planner, src/navfn.cpp (setCostmap, with allow_unknown). NavFn interpolates a
wavefront; here the least-cost path over the eight neighbours is found. An edge weighs the mean of its two cells times
its length.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import SegPerceptionError
from seg_perception.risk.cost_matrix import LETHAL_COST

F64 = NDArray[np.float64]
Cell = tuple[int, int]

INSCRIBED_COST = 253.0
"""nav2's INSCRIBED_INFLATED_OBSTACLE: the robot's centre on this cell means that it touches something."""

_NEUTRAL, _FACTOR = 50.0, 0.8
_UNKNOWN_WEIGHT = 253.0  # COST_OBS - 1: what NavFn gives to unknown cells
_FORBIDDEN = -1.0  # scikit-image's sign for it


@dataclass(frozen=True)
class RobotFootprint:
    """The robot's footprint as nav2's inflation layer uses it.

    Attributes:
        radius: of the circle that the robot fills, m.
        inflation_radius: distance from lethal cells up to which cost is raised, m.
        cost_scaling: decay of the raised cost with distance, 1/m (nav2's cost_scaling_factor).
    """

    radius: float = 0.45
    inflation_radius: float = 1.2
    cost_scaling: float = 3.0


def inflate(costs: NDArray[Any], known: NDArray[np.bool_], resolution: float, footprint: RobotFootprint) -> F64:
    """Inflate a costmap as nav2's inflation layer does.

    Args:
        costs: [rows, cols], nav2 units, lethal from 254 on.
        known: bool [rows, cols]; the cost of an unknown cell is not used.
        resolution: side of a cell, m.
        footprint: of the robot.

    Returns:
        float64 [rows, cols]: 0 to 252 graded, 253 where the robot would touch something, 254 lethal, NaN unknown.
    """
    lethal = known & (costs >= LETHAL_COST)
    inflated: F64 = np.where(known, np.minimum(costs, LETHAL_COST), np.nan).astype(np.float64)
    if not lethal.any():
        return inflated
    distance = cv2.distanceTransform((~lethal).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) * resolution
    around = (INSCRIBED_COST - 1.0) * np.exp(-footprint.cost_scaling * (distance - footprint.radius))
    around[distance > footprint.inflation_radius] = 0.0
    around[distance <= footprint.radius] = INSCRIBED_COST
    around[lethal] = LETHAL_COST
    raised: F64 = np.maximum(inflated, around)  # NaN stays NaN
    raised[~known & (around >= INSCRIBED_COST)] = INSCRIBED_COST
    return raised


def navfn_weights(inflated: F64) -> F64:
    """NavFn's weight of each cell, with unknown cells allowed.

    Args:
        inflated: from `inflate`.

    Returns:
        float64 [rows, cols]: 50 for free ground, up to 251.6 for graded, 253 for unknown, -1 for forbidden cells.
    """
    weights = _NEUTRAL + _FACTOR * inflated
    weights[inflated >= INSCRIBED_COST] = _FORBIDDEN
    return np.where(np.isnan(inflated), _UNKNOWN_WEIGHT, weights)


def clear_footprint(costs: NDArray[Any], centre: Cell, resolution: float, radius: float) -> NDArray[Any]:
    """The costs with the cells under the robot cleared (nav2's footprint clearing): the robot is there already.

    Args:
        costs: [rows, cols].
        centre: cell of the robot's center.
        resolution: side of a cell, m.
        radius: of the robot, m.
    """
    row, col = np.ogrid[: costs.shape[0], : costs.shape[1]]
    under = np.hypot(row - centre[0], col - centre[1]) * resolution <= radius
    return np.where(under, 0.0, costs)


@dataclass(frozen=True, eq=False)
class GridPath:
    """A path over cells.

    Attributes:
        cells: int [n, 2], (row, col), from start to goal, neighbours next to each other.
    """

    cells: NDArray[np.intp]

    def weight(self, weights: F64) -> float:
        """Sum over its edges of their length in cells times the mean weight [rows, cols] of their two cells."""
        along = weights[self.cells[:, 0], self.cells[:, 1]]
        lengths = np.hypot(*np.diff(self.cells, axis=0).T)
        return float(np.sum(lengths * 0.5 * (along[1:] + along[:-1])))

    def length(self, resolution: float) -> float:
        """Its length, m."""
        return float(np.hypot(*np.diff(self.cells, axis=0).T).sum() * resolution)


def shortest_path(weights: F64, start: Cell, goal: Cell, tolerance: float = 0.0) -> GridPath | None:
    """The path of least weight.

    Args:
        weights: [rows, cols], above 0; negative for forbidden cells.
        start: cell; it may be forbidden, as the robot is there already.
        goal: cell.
        tolerance: largest distance from the goal at which the path may end, cells. It ends at the reachable cell that
            is nearest to the goal.

    Returns:
        The path, or None if there is none.

    Raises:
        SegPerceptionError: scikit-image is not installed.
    """
    try:
        from skimage.graph import MCP_Geometric
    except ImportError:
        raise SegPerceptionError(
            "path planning needs scikit-image, which is not installed: pip install 'seg_perception[evaluate]'."
        ) from None
    open_start = weights.copy()
    open_start[start] = max(open_start[start], _NEUTRAL)
    search = MCP_Geometric(open_start, fully_connected=True)
    reached = np.isfinite(search.find_costs([start])[0])
    row, col = np.nonzero(reached)
    off = np.hypot(row - goal[0], col - goal[1])
    nearest = int(np.argmin(off))
    if off[nearest] > tolerance:
        return None
    return GridPath(np.array(search.traceback((int(row[nearest]), int(col[nearest]))), dtype=np.intp))


def cell_at(xy: tuple[float, float], origin: tuple[float, float], resolution: float) -> Cell:
    """The cell (row, col) that holds a point x, y (m) of a grid with its least corner at `origin`."""
    return math.floor((xy[1] - origin[1]) / resolution), math.floor((xy[0] - origin[0]) / resolution)
