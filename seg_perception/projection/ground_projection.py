"""What every projection offers: image points to sample, and evidence for grid cells from the sampled probabilities."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from seg_perception.geometry.grid_bounds import GridBounds
from seg_perception.geometry.transforms import Transform
from seg_perception.projection.cell_lookup import bounding_box, match_cells_to_bins
from seg_perception.projection.polar_grid import PolarGrid
from seg_perception.risk.cost_matrix import CostMatrix


@dataclass(frozen=True, eq=False)
class Evidence:
    """What one image says about the ground, as `EvidenceGrid.add` takes it.

    Attributes:
        centres: float64 [M, 2], (x, y) in odom of the observed cells, m.
        probabilities: float32 [M, K], or [M, K + 1] where heights were measured: the last is that of an obstacle.
        weights: float32 [M], 0..1.
    """

    centres: NDArray[np.float64]
    probabilities: NDArray[np.float32]
    weights: NDArray[np.float32]


class GroundProjection(Protocol):
    """Maps points of one image to the ground."""

    @property
    def sample_points(self) -> NDArray[np.float32]:
        """Where the network is sampled, [S, 2], normalised to -1..1 (see `to_sample_points`)."""

    def evidence(
        self,
        probabilities: NDArray[np.float32],
        matrix: CostMatrix,
        bounds: GridBounds,
        odom_from_footprint: Transform,
        image_weight: float,
    ) -> Evidence:
        """Evidence for the cells of a grid from the sampled class probabilities.

        Args:
            probabilities: float32 [S, K], at the sample points.
            matrix: obstacle classes and their overhang.
            bounds: of the grid.
            odom_from_footprint: pose of the robot at the image's stamp.
            image_weight: weight of the image, 0..1. Measured obstacles keep their full weight in any image.
        """


def cells_in_view(
    bounds: GridBounds, odom_from_footprint: Transform, polar_grid: PolarGrid, visible: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """The cells of a grid whose centre lies in a visible polar bin.

    The search goes from cells to bins. So no cell is left out far away, where bearings are further apart than cells.

    Args:
        bounds: of the grid.
        odom_from_footprint: pose of the robot.
        polar_grid: B bearings x R ranges.
        visible: bool [B * R].

    Returns:
        Centres float64 [M, 2] of these cells in odom, m; and the flat index of the bin of each, intp [M].
    """
    rotation = np.ascontiguousarray(odom_from_footprint.rotation[:2, :2])
    translation = np.ascontiguousarray(odom_from_footprint.translation[:2])
    low_x, low_y, high_x, high_y = bounding_box(polar_grid.points.reshape(-1, 2), visible, rotation, translation)
    if low_x > high_x:
        return np.zeros((0, 2)), np.zeros(0, np.intp)
    cell = bounds.resolution
    begin = max(math.floor(low_x / cell) - 1, bounds.first_col), max(math.floor(low_y / cell) - 1, bounds.first_row)
    end = (
        min(math.ceil(high_x / cell) + 1, bounds.first_col + bounds.cols),
        min(math.ceil(high_y / cell) + 1, bounds.first_row + bounds.rows),
    )
    most = max(end[0] - begin[0], 0) * max(end[1] - begin[1], 0)
    centres, nearest = np.empty((most, 2)), np.empty(most, np.int64)
    # A copy of the nadir point, so that the loop is compiled once and not again for read-only arrays.
    polar = (np.array(polar_grid.nadir), polar_grid.bearings, polar_grid.ranges)
    count = match_cells_to_bins(begin, end, cell, rotation, translation, *polar, visible, centres, nearest)
    return centres[:count], nearest[:count]
