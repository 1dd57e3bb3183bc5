"""argmax, and then the ground under every pixel, computed anew for every frame.

Source: ros-sports/ipm, ipm_image_node/ipm_image_node/ipm.py (an image at full scale, all pixels) and
ipm_library/ipm_library/utils.py (ray through each pixel, its intersection with the plane, the transform of the points;
in float64, without distortion). The package ends with a cloud of coloured points; here they are booked into cells, the
dearest class of a cell counting, as nav2's obstacle layers keep the highest cost.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seg_perception.benchmark.baselines.baseline import Answer, Scene, full_size, nav2_costs
from seg_perception.geometry.transforms import footprint_of


class PixelProjection:
    """A `Peer`; it remembers nothing."""

    key = "pixel_projection"
    name = "argmax, every pixel projected onto the ground"
    source = "ros-sports/ipm"
    lacks = "confidence, expected cost, what stands in the way, memory"

    def process(self, scene: Scene) -> Answer:
        """See `Peer.process`."""
        labels = np.argmax(full_size(scene.logits, scene.size), axis=0).astype(np.uint8)
        return Answer(*cells_of(scene, ground_points(scene), labels.ravel()), labels)


def ground_points(scene: Scene) -> NDArray[np.float64]:
    """Where the ground is that each pixel shows, in odom, float64 [H * W, 3], m; NaN above the horizon."""
    frame, (width, height) = scene.frame, scene.size
    optical_from_footprint = (
        footprint_of(frame.odom_from_base).inverse() @ frame.odom_from_base @ frame.base_from_optical
    ).inverse()
    normal, base = optical_from_footprint.rotation[:, 2], optical_from_footprint.translation
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    matrix = frame.camera.matrix
    rays = np.empty((width * height, 3))
    rays[:, 0] = (columns.ravel() - matrix[0, 2]) / matrix[0, 0]
    rays[:, 1] = (rows.ravel() - matrix[1, 2]) / matrix[1, 1]
    rays[:, 2] = 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = normal.dot(base) / (rays @ normal)
        distance[distance <= 0] = np.nan
        points: NDArray[np.float64] = rays * distance[:, np.newaxis]
    return (frame.odom_from_base @ frame.base_from_optical).apply(points)


def cells_of(
    scene: Scene, points: NDArray[np.float64], labels: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Costs float32 [rows, cols] and known bool [rows, cols] from labelled points within range."""
    raster, ground = scene.raster, scene.ground
    camera = (scene.frame.odom_from_base @ scene.frame.base_from_optical).translation[:2]
    distance = np.hypot(points[:, 0] - camera[0], points[:, 1] - camera[1])
    near = (distance >= ground.min_range) & (distance <= ground.max_range)
    cell = np.floor(points[near, :2] / raster.resolution).astype(np.int64) - (raster.first_col, raster.first_row)
    inside = ((cell >= 0) & (cell < (raster.cols, raster.rows))).all(axis=1) & ~scene.matrix.ignore[labels[near]]
    index = cell[inside, 1] * raster.cols + cell[inside, 0]
    costs = np.full(raster.rows * raster.cols, -1, np.float32)
    np.maximum.at(costs, index, nav2_costs(scene.matrix)[labels[near][inside]])
    shape = (raster.rows, raster.cols)
    return np.maximum(costs, 0).reshape(shape), (costs >= 0).reshape(shape)
