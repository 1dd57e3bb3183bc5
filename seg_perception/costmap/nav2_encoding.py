"""Encodes costs in nav2 units as values of nav_msgs/OccupancyGrid.

nav2's static layer reads an OccupancyGrid byte v as trunc(v / 100 * 254), with 100 as lethal (254), -1 as unknown
(255) and, from ROS 2 Lyrical on, 99 as inscribed (253). Source: nav2_costmap_2d, plugins/static_layer.cpp,
interpretValue(); graded values survive only with `trinary_costmap: false`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_perception.costmap import kernels
from seg_perception.risk.cost_matrix import LETHAL_COST

UNKNOWN_COST = 255.0
"""nav2's NO_INFORMATION (nav2_costmap_2d/cost_values.hpp)."""


class OccupancyValues(IntEnum):
    """Special values of nav_msgs/OccupancyGrid. 99 is never written: its meaning changed with Lyrical."""

    UNKNOWN = -1
    FREE = 0
    HIGHEST_GRADED = 98
    LETHAL = 100


def _occupancy_of(cost: int) -> int:
    """The smallest value that nav2 reads as at least `cost` (0..254). Integer arithmetic avoids rounding."""
    value = -(-100 * cost // int(LETHAL_COST))
    return value if value <= OccupancyValues.HIGHEST_GRADED else OccupancyValues.LETHAL


_OCCUPANCY = np.array([*map(_occupancy_of, range(int(UNKNOWN_COST))), OccupancyValues.UNKNOWN], dtype=np.int8)


def encode_costs(costs: NDArray[np.floating[Any]], known: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Encode costs so that nav2 never reads less than the given cost.

    Let c be the cost rounded up to a whole number. Up to 248, nav2 reads c, c + 1 or c + 2. Above that, 98 is too small
    and 99 changed its meaning with Lyrical, so the cell becomes lethal.

    Args:
        costs: float [...], nav2 units: 0 free, 254 and above lethal.
        known: bool [...], False where unknown; the cost there is ignored.

    Returns:
        int8 [...], values of nav_msgs/OccupancyGrid: 0..98, 100, and -1 where the cost is unknown or not a number.
    """
    values = np.empty(costs.shape, np.int8)
    kernels.encode(costs.ravel(), known.ravel(), _OCCUPANCY, values.ravel())
    return values


def decode_costs(values: NDArray[np.int8]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Decode an OccupancyGrid as nav2's static layer does without `trinary_costmap`, tracking unknown space.

    Args:
        values: int8 [...], values of nav_msgs/OccupancyGrid. 99 is read as in Lyrical, the higher of the two readings.

    Returns:
        Costs float32 [...] in nav2 units, 255 where unknown; and known bool [...].
    """
    whole = values.astype(np.int32)
    costs = np.where((whole < 0) | (whole >= 100), int(LETHAL_COST), whole * int(LETHAL_COST) // 100)
    costs = np.where(whole == 99, int(LETHAL_COST) - 1, costs)
    known = whole != OccupancyValues.UNKNOWN
    return np.where(known, costs, UNKNOWN_COST).astype(np.float32), known
