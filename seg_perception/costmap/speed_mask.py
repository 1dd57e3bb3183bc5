"""A mask of speed limits for nav2's SpeedFilter: percent of the robot's full speed by cell.

nav2 reads a cell of 1 to 100 as a limit, 0 as no limit at all and -1 as an error that leaves the last limit in force;
and a limit of 0 means no limit, too, so a mask can slow the robot but not stop it. Source: nav2_costmap_2d,
plugins/costmap_filters/speed_filter.cpp and filter_values.hpp.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.risk.measures import cvar

_ROUNDING = 1e-3  # what is a whole percent, or so many whole cells, stays so


def percent(share: float) -> int:
    """A share of full speed as the mask says it: rounded down, never 0."""
    return max(1, math.floor(100.0 * share + _ROUNDING))


def speed_mask(
    posterior: NDArray[np.float32], known: NDArray[np.bool_], matrix: CostMatrix, resolution: float
) -> NDArray[np.int8]:
    """The speed limit of each cell.

    Slowness, 1 minus the share of full speed, is taken as a cost: a cell's is the CVaR over what it may be, so a slow
    class bears on a cell in proportion until its probability is 1 - alpha, and fully from there on. Ground slows down
    who drives over it. What stands is driven past, and the filter looks only at the cell under the robot: so the limit
    by the standing classes alone holds as far around its cell as `reach`. The lower limit counts.

    Args:
        posterior: float32 [K + 1, rows, cols], probabilities; the last is that of obstacles told by their height, kerbs
            for the most part, which are in the way but slow nobody down.
        known: bool [rows, cols].
        matrix: its speed rule, and which classes stand.
        resolution: edge of a cell, m.

    Returns:
        int8 [rows, cols], 1 to 100: percent of full speed, rounded down.
    """
    rule = matrix.speed
    slowness = 1.0 - rule.shares(len(matrix.classes))
    over = np.where(known, _limit(posterior, slowness, rule.alpha), percent(rule.unknown))
    past = np.where(known, _limit(posterior, slowness * matrix.standing, rule.alpha), 100)
    near = cv2.erode(past.astype(np.uint8), _disc(rule.reach / resolution))
    return np.minimum(over, near).astype(np.int8)


def _limit(posterior: NDArray[np.float32], slowness: NDArray[np.float32], alpha: float) -> NDArray[np.uint8]:
    """Limits by classes of this slowness, percent: uint8 [rows, cols]."""
    slow = cvar(np.moveaxis(posterior, 0, -1), np.append(slowness, np.float32(0.0)), alpha)
    limit: NDArray[np.uint8] = np.clip(np.floor(100.0 * (1.0 - slow) + _ROUNDING), 1.0, 100.0).astype(np.uint8)
    return limit


def _disc(radius: float) -> NDArray[np.uint8]:
    """The cells whose middles lie within so many cells of the one in the middle."""
    radius += _ROUNDING
    offset = np.arange(-int(radius), int(radius) + 1)
    return (np.hypot(*np.meshgrid(offset, offset)) <= radius).astype(np.uint8)
