"""Inverse perspective mapping: a pixel shows the ground where its line of sight meets the plane the robot stands on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from seg_perception.geometry.camera import Camera
from seg_perception.geometry.grid_bounds import GridBounds
from seg_perception.geometry.transforms import Transform
from seg_perception.projection.flat_ground.overhang import correct_overhang
from seg_perception.projection.flat_ground.sampling import GroundSamples, sample_ground
from seg_perception.projection.flat_ground.visibility import visibility
from seg_perception.projection.ground_projection import Evidence, cells_in_view
from seg_perception.projection.sample_points import to_sample_points
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.settings.ground import GroundSettings

_DECIMALS = 7
"""Of a camera's pose. The rest is rounding noise; without it a camera with constant extrinsics reuses its samples."""


@dataclass(frozen=True, eq=False)
class FlatGroundProjection:
    """A `GroundProjection` onto the plane z = 0 of the footprint frame.

    Attributes:
        sample_points: float32 [S, 2], see `GroundProjection`.
        samples: where on the ground they are, S of them on bearings x ranges.
        height: of the camera above the ground, m.
        settings: of the ground.
    """

    sample_points: NDArray[np.float32]
    samples: GroundSamples
    height: float
    settings: GroundSettings

    @classmethod
    def at(cls, camera: Camera, footprint_from_optical: Transform, settings: GroundSettings) -> FlatGroundProjection:
        """Spread samples over the ground in view; raises GeometryError as `sample_ground` does."""
        pose = footprint_from_optical
        rotation, translation = (
            tuple(part.round(_DECIMALS).ravel().tolist()) for part in (pose.rotation, pose.translation)
        )
        return _projection(camera, rotation, translation, settings)

    def evidence(  # noqa: D102 - see GroundProjection
        self,
        probabilities: NDArray[np.float32],
        matrix: CostMatrix,
        bounds: GridBounds,
        odom_from_footprint: Transform,
        image_weight: float,
    ) -> Evidence:
        samples = self.samples
        by_bearing = probabilities.reshape(*samples.in_image.shape, -1)
        inside, ranges = samples.in_image, samples.ranges
        visible = visibility(by_bearing, matrix.standing, inside, ranges, self.settings)
        source = correct_overhang(
            by_bearing, matrix.standing, matrix.overhang, inside, ranges, self.height, self.settings
        ).ravel()
        weights = visible.ravel()[source] * samples.weight.ravel() * np.float32(image_weight)
        centres, nearest = cells_in_view(bounds, odom_from_footprint, samples, weights > 0)
        return Evidence(centres, probabilities[source[nearest]], weights[nearest])


@lru_cache(maxsize=16)
def _projection(
    camera: Camera, rotation: tuple[float, ...], translation: tuple[float, ...], settings: GroundSettings
) -> FlatGroundProjection:
    pose = Transform(np.reshape(rotation, (3, 3)), np.array(translation))
    samples = sample_ground(camera, pose, settings)
    # Pixels outside the image move to its edge: the engine needs finite points, and `visibility` masks them anyway.
    inside = np.clip(samples.pixels, -0.5, np.array([camera.width, camera.height]) - 0.5)
    sample_points = to_sample_points(inside, camera.width, camera.height).reshape(-1, 2)
    return FlatGroundProjection(sample_points, samples, float(pose.translation[2]), settings)
