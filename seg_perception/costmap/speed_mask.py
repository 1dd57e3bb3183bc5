"""A mask of speed limits for nav2's SpeedFilter: percent of the robot's full speed by cell.

nav2 reads a cell of 1 to 100 as a limit, 0 as no limit, and -1 as an error that keeps the last limit. A limit of 0 also
means no limit, so a mask can slow the robot but not stop it. Source: nav2_costmap_2d,
plugins/costmap_filters/speed_filter.cpp and filter_values.hpp.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.risk.measures import cvar

_ROUNDING = 1e-3  # tolerance with which a number counts as a whole percent or a whole number of cells


def percent(share: float) -> int:
    """A share of full speed as a value of the mask: rounded down, never 0."""
    return max(1, math.floor(100.0 * share + _ROUNDING))


def speed_mask(
    posterior: NDArray[np.float32], known: NDArray[np.bool_], matrix: CostMatrix, resolution: float
) -> NDArray[np.int8]:
    """The speed limit of each cell.

    The cost of a class is its slowness: 1 minus its share of full speed. The slowness of a cell is the CVaR over its
    posterior. So a slow class counts in proportion to its probability up to 1 - alpha, and fully from there on. Ground
    classes limit the speed on their own cell. Obstacles are driven past, but the filter only reads the cell under the
    robot. So the limit by the obstacle classes alone also holds within `reach` of their cell. The lower limit counts.

    Args:
        posterior: float32 [K + 1, rows, cols], probabilities; the last is that of measured obstacles, mostly kerbs,
            which limit no speed.
        known: bool [rows, cols].
        matrix: its speed rule and obstacle classes.
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
    """A disc of cells: those whose centre lies within `radius` cells of the central one."""
    radius += _ROUNDING
    offset = np.arange(-int(radius), int(radius) + 1)
    return (np.hypot(*np.meshgrid(offset, offset)) <= radius).astype(np.uint8)
