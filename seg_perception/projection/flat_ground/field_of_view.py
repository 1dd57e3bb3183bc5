"""The grid cells in a camera's field of view, on flat ground."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import GeometryError
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.grid_bounds import GridBounds
from seg_perception.geometry.transforms import Transform, footprint_of
from seg_perception.projection.flat_ground.sampling import sample_ground
from seg_perception.projection.ground_projection import cells_in_view
from seg_perception.settings.ground import GroundSettings


def ground_in_view(
    camera: Camera,
    base_from_optical: Transform,
    odom_from_base: Transform,
    bounds: GridBounds,
    settings: GroundSettings,
) -> NDArray[np.bool_] | None:
    """The cells whose flat ground lies in the field of view, visible or hidden.

    Args:
        camera: intrinsics.
        base_from_optical: extrinsics of the camera.
        odom_from_base: pose of the robot.
        bounds: of the grid.
        settings: range of the samples.

    Returns:
        bool [rows, cols]; None where the camera sees no ground within range.
    """
    odom_from_footprint = footprint_of(odom_from_base)
    try:
        samples = sample_ground(camera, odom_from_footprint.inverse() @ odom_from_base @ base_from_optical, settings)
    except GeometryError:
        return None
    centres, _ = cells_in_view(bounds, odom_from_footprint, samples, samples.in_image.ravel())
    view = np.zeros((bounds.rows, bounds.cols), dtype=np.bool_)
    col, row = np.floor(centres.T / bounds.resolution).astype(np.intp)
    view[row - bounds.first_row, col - bounds.first_col] = True
    return view
