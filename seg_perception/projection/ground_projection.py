"""What every projection has in common: places in the image to ask about, and evidence for cells in return."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import GeometryError
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.grid_bounds import Raster
from seg_perception.geometry.transforms import Transform, footprint_of
from seg_perception.projection.cell_lookup import bounds, cells_next_to_places
from seg_perception.projection.flat_ground.sampling import GroundSettings, PolarPlaces, sample_ground
from seg_perception.risk.cost_matrix import CostMatrix


@dataclass(frozen=True, eq=False)
class Evidence:
    """What one image says about the ground, as `EvidenceGrid.add` takes it.

    Attributes:
        centres: float64 [M, 2], (x, y) in odom of the cells it is about, m.
        probabilities: float32 [M, K], or [M, K + 1] where heights were measured.
        weights: float32 [M], 0..1.
    """

    centres: NDArray[np.float64]
    probabilities: NDArray[np.float32]
    weights: NDArray[np.float32]


class Look(Protocol):
    """One image's view of the ground."""

    @property
    def cells(self) -> NDArray[np.float32]:
        """Where the image is asked for classes, [S, 2], -1..1 as the network's `cells` input has it."""

    def evidence(
        self,
        probabilities: NDArray[np.float32],
        matrix: CostMatrix,
        raster: Raster,
        odom_from_footprint: Transform,
        image_weight: float,
    ) -> Evidence:
        """What the answers mean for the cells of a raster.

        Args:
            probabilities: float32 [S, K], the answers.
            matrix: which classes rise from the ground, and how.
            raster: where cells are wanted.
            odom_from_footprint: pose of the robot at the image's stamp.
            image_weight: how much the image counts, 0..1. What was measured to be in the way is so in any image.
        """


def cells_in_view(
    raster: Raster, odom_from_footprint: Transform, places: PolarPlaces, seen: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Centres [M, 2] in odom of the cells that have a seen place next to them, and that place's flat index [M].

    Cells ask for places, not places for cells: far out, where bearings spread wider than a cell, none is left out.

    Args:
        raster: cells are taken from it.
        odom_from_footprint: pose of the robot.
        places: bearings x ranges.
        seen: bool [B * R].
    """
    rotation = np.ascontiguousarray(odom_from_footprint.rotation[:2, :2])
    translation = np.ascontiguousarray(odom_from_footprint.translation[:2])
    low_x, low_y, high_x, high_y = bounds(places.points.reshape(-1, 2), seen, rotation, translation)
    if low_x > high_x:
        return np.zeros((0, 2)), np.zeros(0, np.intp)
    cell = raster.resolution
    begin = max(math.floor(low_x / cell) - 1, raster.first_col), max(math.floor(low_y / cell) - 1, raster.first_row)
    end = (
        min(math.ceil(high_x / cell) + 1, raster.first_col + raster.cols),
        min(math.ceil(high_y / cell) + 1, raster.first_row + raster.rows),
    )
    most = max(end[0] - begin[0], 0) * max(end[1] - begin[1], 0)
    centres, nearest = np.empty((most, 2)), np.empty(most, np.int64)
    polar = (np.array(places.foot), places.bearings, places.ranges)  # read-only or not, for one and the same loop
    count = cells_next_to_places(begin, end, cell, rotation, translation, *polar, seen, centres, nearest)
    return centres[:count], nearest[:count]


def ground_in_view(
    camera: Camera, base_from_optical: Transform, odom_from_base: Transform, raster: Raster, settings: GroundSettings
) -> NDArray[np.bool_] | None:
    """The cells whose flat ground a camera looks at, seen or hidden: bool [rows, cols]; None where it sees none.

    Args:
        camera: intrinsics.
        base_from_optical: pose of the camera on the robot.
        odom_from_base: pose of the robot.
        raster: cells are taken from it.
        settings: how far the camera looks.
    """
    odom_from_footprint = footprint_of(odom_from_base)
    try:
        samples = sample_ground(camera, odom_from_footprint.inverse() @ odom_from_base @ base_from_optical, settings)
    except GeometryError:
        return None
    centres, _ = cells_in_view(raster, odom_from_footprint, samples, samples.in_image.ravel())
    view = np.zeros((raster.rows, raster.cols), dtype=np.bool_)
    col, row = np.floor(centres.T / raster.resolution).astype(np.intp)
    view[row - raster.first_row, col - raster.first_col] = True
    return view
