"""argmax, then projection of every pixel onto the ground, for every frame again.

Source: ros-sports/ipm, ipm_image_node/ipm_image_node/ipm.py (an image at full scale, all pixels) and
ipm_library/ipm_library/utils.py (ray through each pixel, its intersection with the plane, the transform of the points;
in float64, without distortion). The package ends with a cloud of coloured points. Here they are binned into cells, and
the most expensive class of a cell counts, as nav2's obstacle layers keep the highest cost.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seg_perception.benchmark.baselines.baseline import BaselineInput, BaselineOutput, nav2_costs, upsample
from seg_perception.geometry.transforms import footprint_of


class PixelProjection:
    """A `Baseline` without memory."""

    key = "pixel_projection"
    name = "argmax, every pixel projected onto the ground"
    source = "ros-sports/ipm"
    lacks = "confidence, expected cost, visibility, memory"

    def process(self, inputs: BaselineInput) -> BaselineOutput:
        """See `Baseline.process`."""
        labels = np.argmax(upsample(inputs.logits, inputs.size), axis=0).astype(np.uint8)
        return BaselineOutput(*cell_costs(inputs, ground_points(inputs), labels.ravel()), labels)


def ground_points(inputs: BaselineInput) -> NDArray[np.float64]:
    """The ground point of each pixel in odom, float64 [H * W, 3], m; NaN above the horizon."""
    frame, (width, height) = inputs.frame, inputs.size
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


def cell_costs(
    inputs: BaselineInput, points: NDArray[np.float64], labels: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Costs float32 [rows, cols] and known bool [rows, cols] from labelled points within range."""
    bounds, ground = inputs.bounds, inputs.ground
    camera = (inputs.frame.odom_from_base @ inputs.frame.base_from_optical).translation[:2]
    distance = np.hypot(points[:, 0] - camera[0], points[:, 1] - camera[1])
    near = (distance >= ground.min_range) & (distance <= ground.max_range)
    cell = np.floor(points[near, :2] / bounds.resolution).astype(np.int64) - (bounds.first_col, bounds.first_row)
    inside = ((cell >= 0) & (cell < (bounds.cols, bounds.rows))).all(axis=1) & ~inputs.matrix.ignore[labels[near]]
    index = cell[inside, 1] * bounds.cols + cell[inside, 0]
    costs = np.full(bounds.rows * bounds.cols, -1, np.float32)
    np.maximum.at(costs, index, nav2_costs(inputs.matrix)[labels[near][inside]])
    shape = (bounds.rows, bounds.cols)
    return np.maximum(costs, 0).reshape(shape), (costs >= 0).reshape(shape)
